//go:build integration

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// frameOf is what a phone's camera sees of a card that is held out by hand:
// tilted, unevenly lit, a little blurred, with noise; 1280 × 960. Nobody else
// has the picture meanwhile, so the race detector need not count its pixels.
//
//go:norace
func frameOf(code image.Image, r *rand.Rand) image.Image {
	const width, height = 1280, 960
	size := 360 + 240*r.Float64()
	jitter := func() float64 { return (r.Float64() - 0.5) * size * 0.22 }
	x, y := width/2+jitter()/2, height/2+jitter()/2
	sin, cos := math.Sincos((r.Float64() - 0.5) * math.Pi / 2)
	// Corners of the code in the frame, clockwise from its upper left.
	var to [4][2]float64
	for i, c := range [4][2]float64{{-0.5, -0.5}, {0.5, -0.5}, {0.5, 0.5}, {-0.5, 0.5}} {
		to[i] = [2]float64{x + size*(c[0]*cos-c[1]*sin) + jitter()/2, y + size*(c[0]*sin+c[1]*cos) + jitter()/2}
	}
	back := homography(to)
	b := code.Bounds()
	at := func(px, py float64) float64 { // 0 dark … 1 light; a table around the card
		w := back[6]*px + back[7]*py + 1
		u, v := (back[0]*px+back[1]*py+back[2])/w, (back[3]*px+back[4]*py+back[5])/w
		if u < 0 || v < 0 || u >= 1 || v >= 1 {
			return 0.62
		}
		g, _, _, _ := code.At(b.Min.X+int(u*float64(b.Dx())), b.Min.Y+int(v*float64(b.Dy()))).RGBA()
		return float64(g) / 0xffff
	}
	out := image.NewGray(image.Rect(0, 0, width, height))
	for py := range height {
		for px := range width {
			sum := 0.0 // a blur of about a pixel
			for _, d := range [4][2]float64{{-0.6, -0.6}, {0.6, -0.6}, {-0.6, 0.6}, {0.6, 0.6}} {
				sum += at(float64(px)+d[0], float64(py)+d[1])
			}
			light := 0.55 + 0.4*float64(px)/width - 0.15*float64(py)/height
			out.SetGray(px, py, color.Gray{uint8(min(255, max(0, 20+200*light*sum/4+7*r.NormFloat64())))})
		}
	}
	return out
}

// homography maps the four corners back to the unit square: the first eight
// numbers of a 3 × 3 matrix whose last is 1.
func homography(from [4][2]float64) (h [8]float64) {
	to := [4][2]float64{{0, 0}, {1, 0}, {1, 1}, {0, 1}}
	var m [8][9]float64
	for i := range 4 {
		x, y, u, v := from[i][0], from[i][1], to[i][0], to[i][1]
		m[2*i] = [9]float64{x, y, 1, 0, 0, 0, -u * x, -u * y, u}
		m[2*i+1] = [9]float64{0, 0, 0, x, y, 1, -v * x, -v * y, v}
	}
	for c := range 8 { // Gauss and Jordan
		pivot := c
		for r := c + 1; r < 8; r++ {
			if math.Abs(m[r][c]) > math.Abs(m[pivot][c]) {
				pivot = r
			}
		}
		m[c], m[pivot] = m[pivot], m[c]
		for r := range 8 {
			if r == c {
				continue
			}
			f := m[r][c] / m[c][c]
			for k := c; k < 9; k++ {
				m[r][k] -= f * m[c][k]
			}
		}
	}
	for i := range 8 {
		h[i] = m[i][8] / m[i][i]
	}
	return h
}

// timing reads frames as the camera does: the middle square quickly; where that
// finds nothing, the whole frame thoroughly. Each answer is [first try, grab,
// decode, verify, whole], times in ms.
const timing = `(async (frames, urls) => {
	const { decode } = await import(urls.decoder);
	const { extract, keysOf, verify } = await import(urls.token);
	const keys = keysOf(await (await fetch("/api/v1/keys")).json());
	const canvas = document.createElement("canvas");
	const context = canvas.getContext("2d", { willReadFrequently: true });
	const grab = (image, thorough) => {
		const side = Math.min(image.width, image.height);
		if (thorough) {
			canvas.width = image.width; canvas.height = image.height;
			context.drawImage(image, 0, 0);
		} else {
			canvas.width = canvas.height = Math.min(side, 720);
			context.drawImage(image, (image.width - side) / 2, (image.height - side) / 2, side, side, 0, 0, canvas.width, canvas.height);
		}
		return context.getImageData(0, 0, canvas.width, canvas.height);
	};
	const worker = new Worker(urls.decoder, { type: "module" });
	const ask = (picture) => new Promise((resolve) => {
		worker.onmessage = resolve;
		worker.postMessage({ id: 1, wasm: urls.wasm, picture, thorough: false });
	});
	const rows = [], inWorker = [];
	let unread = 0, first = true;
	for (const frame of [frames[0], ...frames]) {
		const image = new Image();
		image.src = "data:image/jpeg;base64," + frame;
		await image.decode();
		const bitmap = await createImageBitmap(image);
		const t0 = performance.now();
		let tries = 1, picture = grab(bitmap, false), t1 = performance.now();
		let text = await decode(picture, urls.wasm, false);
		if (text === undefined) {
			tries++;
			text = await decode(grab(bitmap, true), urls.wasm, true);
		}
		const t2 = performance.now();
		const { verdict } = await verify(extract(text ?? "") ?? "", keys, Date.now());
		const t3 = performance.now();
		const again = performance.now();
		await ask(picture);
		if (first) { first = false; continue; } // loads the decoder and the key
		inWorker.push(performance.now() - again);
		if (verdict === "ok") rows.push([tries, t1 - t0, t2 - t1, t3 - t2, t3 - t0]);
		else unread++;
	}
	worker.terminate();
	return { rows, unread, inWorker };
})`

type timed struct {
	Rows     [][5]float64 `json:"rows"`
	Unread   int          `json:"unread"`
	InWorker []float64    `json:"inWorker"`
}

// share is the value below which so much of a list lies.
func share(list []float64, part float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]
}

// From a frame of the camera to a verified code, on a processor slowed down to
// a sixth. It prints figures and judges only that codes are read: how fast a
// machine is says nothing of the program.
//
//	make web && go test -tags integration -run TestScanSpeed -v ./cmd/happycode
func TestScanSpeed(t *testing.T) {
	s := embedded(t)
	server := start(t, s)
	w := newTown(t, s, server.base)
	var frames []string
	r := rand.New(rand.NewPCG(11, 12))
	var cards []string
	for n := range 4 {
		q := newQueuer(t, w, n+1, "测速")
		cards = append(cards, q.CardNo)
		code := picture(t, q.url, 420)
		for range 10 {
			var out bytes.Buffer
			if err := jpeg.Encode(&out, frameOf(code, r), &jpeg.Options{Quality: 90}); err != nil {
				t.Fatal(err)
			}
			frames = append(frames, base64.StdEncoding.EncodeToString(out.Bytes()))
		}
	}
	video := filepath.Join(t.TempDir(), "empty.y4m")
	filmQueue(t, video, "")
	someone := newBrowser(t, video).person(t, server.base)
	someone.open("/signin")
	text, err := json.Marshal(frames)
	if err != nil {
		t.Fatal(err)
	}
	urls, err := json.Marshal(map[string]string{"decoder": asset(t, "decoder.js"), "token": asset(t, "token.js"), "wasm": asset(t, "zxing_reader.wasm")})
	if err != nil {
		t.Fatal(err)
	}
	for _, slower := range []float64{1, 6} {
		someone.do("slow down", func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
			_, err := cdp.Call(ctx, target, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: slower})
			return chromedp.Void{}, err
		})
		got := step(someone, "read the frames", chromedp.Evaluate[timed](timing+"("+string(text)+","+string(urls)+")", chromedp.EvalAwaitPromise))
		if len(got.Rows) < len(frames)*9/10 {
			t.Errorf("%d of %d frames were read", len(got.Rows), len(frames))
		}
		column := func(n int) []float64 {
			out := make([]float64, len(got.Rows))
			for i, row := range got.Rows {
				out[i] = row[n]
			}
			return out
		}
		firstTry := 0
		for _, tries := range column(0) {
			if tries == 1 {
				firstTry++
			}
		}
		t.Logf("%g× slower: %d frames, %d read at the first try, %d at the second, %d not", slower, len(frames), firstTry, len(got.Rows)-firstTry, got.Unread)
		for n, name := range []string{1: "grab the frame", 2: "decode", 3: "verify", 4: "frame to identity"} {
			if name != "" {
				t.Logf("  %-18s median %6.1f ms, p95 %6.1f ms", name, share(column(n), 0.5), share(column(n), 0.95))
			}
		}
		t.Logf("  %-18s median %6.1f ms, p95 %6.1f ms (the browser does not slow workers down)", "decode in worker", share(got.InWorker, 0.5), share(got.InWorker, 0.95))
	}
	var trips []float64
	for n := range 20 {
		began := time.Now()
		w.worker.must(t, http.MethodPost, "scans", map[string]any{"code": cards[n%4]}, nil)
		trips = append(trips, float64(time.Since(began).Microseconds())/1000)
	}
	t.Logf("what the server adds, on this machine without a network: median %.1f ms, p95 %.1f ms; a mobile network adds 50–300 ms of its own", share(trips, 0.5), share(trips, 0.95))
}

// asset is the address of a built file.
func asset(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open("../../app/pages/dist/manifest.json")
	if err != nil {
		t.Fatal("the pages are not built: make web")
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	built := map[string]string{}
	if err := json.Unmarshal(text, &built); err != nil || built[name] == "" {
		t.Fatalf("%s is not among the built files: %v", name, err)
	}
	return "/assets/" + built[name]
}
