//go:build integration

package main

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/care"
)

const (
	city    = "330500000000"
	county  = "330502000000"
	village = "330502001005"
)

// town is a small world made over the API: one organisation, its offers, and
// residents with needs.
type town struct {
	admin, worker, giver *caller
	organisation         string
	offers               []string
	residents            []townResident
}

type townResident struct {
	ID       string `json:"id"`
	CardNo   string `json:"card_no"`
	Division string `json:"division"`
}

type lotRequest struct {
	QtyUnits int64 `json:"qty_units"`
	FromMs   int64 `json:"from_ms"`
	UntilMs  int64 `json:"until_ms"`
}

func newTown(t testing.TB, s settingsOf, base string) *town {
	t.Helper()
	w := &town{admin: newCaller(base, token(t, s, "--role", "admin"))}
	w.worker = newCaller(base, token(t, s, "--role", "caseworker", "--division", county))
	var o struct{ ID string }
	w.admin.must(t, http.MethodPost, "organisations", map[string]any{
		"organisation": map[string]string{
			"name": "测试慈善会", "name_en": "Test charity", "kind": "charity", "credit_code": "53330500MJ9D000322", "division": city,
		},
		"account": map[string]string{"username": "giver", "password": "a long password"},
	}, &o)
	w.organisation = o.ID
	w.admin.must(t, http.MethodPost, "organisations/"+o.ID+"/decision", map[string]any{"status": "approved", "note": "test"}, nil)
	w.giver = newCaller(base, token(t, s, "--role", "provider", "--organisation", o.ID))
	return w
}

// post posts an offer with one lot that is usable for thirty days from now and
// given to whoever comes: these tests ask who gets what there is, not for whom
// it is kept.
func (w *town) post(t testing.TB, title, category string, qty int64, more map[string]any) string {
	t.Helper()
	now := time.Now()
	body := map[string]any{
		"title_zh": title, "title_en": title, "category": category, "divisions": []string{county},
		"handover": map[string]string{"how": "delivery"}, "pace": "now",
		"lots": []lotRequest{{qty, now.Add(-time.Minute).UnixMilli(), now.Add(30 * 24 * time.Hour).UnixMilli()}},
	}
	for k, v := range more {
		body[k] = v
	}
	var o struct{ ID string }
	w.giver.must(t, http.MethodPost, "offers", body, &o)
	w.offers = append(w.offers, o.ID)
	return o.ID
}

// settle registers residents, each in a household of their own, by importing
// a table, and records the same needs for each.
func (w *town) settle(t *testing.T, people int, needs map[string]int64) {
	t.Helper()
	w.settleIn(t, people, needs, village)
}

// settleIn is settle for several villages, among which the people are dealt
// out. It is called once for a town.
func (w *town) settleIn(t *testing.T, people int, needs map[string]int64, villages ...string) {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("file", "residents.csv")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(file, "姓名,身份证号,区划代码,评分,同意")
	for n := range people {
		fmt.Fprintf(file, "测试,%s,%s,%d,是\n", idNumber(n), villages[n%len(villages)], 300+n%700)
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	var taken struct{ Taken int }
	if err := w.worker.send(t.Context(), http.MethodPost, "residents/import", form.FormDataContentType(), &body, &taken); err != nil || taken.Taken != people {
		t.Fatalf("import %d residents: %d taken, %v", people, taken.Taken, err)
	}
	pages(t, w.worker, "residents", &w.residents)
	for n, r := range w.residents {
		for category, qty := range needs {
			w.worker.must(t, http.MethodPost, "residents/"+r.ID+"/needs", map[string]any{
				"category": category, "qty_units": qty, "urgency": 1 + n%4, "source": "report",
			}, nil)
		}
	}
}

// idNumber invents the n-th ID number, with its check digit (GB 11643).
func idNumber(n int) string {
	return bornOn(time.Date(1940, 1, 1+n/900, 0, 0, 0, 0, time.UTC), n%900)
}

// bornOn is the n-th invented ID number, up to 899, of a day.
func bornOn(day time.Time, n int) string {
	weights := []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}
	digits := fmt.Sprintf("330502%s%03d", day.Format("20060102"), 100+n)
	sum := 0
	for i, w := range weights {
		sum += w * int(digits[i]-'0')
	}
	return digits + string("10X98765432"[sum%11])
}

// stock sums an offer's shares.
func (w *town) stock(t testing.TB, offer string) care.ShareStock {
	t.Helper()
	var page struct{ Items []care.ShareStock }
	w.giver.must(t, http.MethodGet, "offers/"+offer+"/stock", nil, &page)
	var sum care.ShareStock
	for _, s := range page.Items {
		sum.QtyUnits += s.QtyUnits
		sum.FreeUnits += s.FreeUnits
		sum.HeldUnits += s.HeldUnits
		sum.PromisedUnits += s.PromisedUnits
		sum.HandedOverUnits += s.HandedOverUnits
		sum.ExpiredUnits += s.ExpiredUnits
		sum.WithdrawnUnits += s.WithdrawnUnits
	}
	return sum
}

// list reads a resident's whole happiness list.
func (w *town) list(t testing.TB, resident string) []care.AllocationView {
	t.Helper()
	var all []care.AllocationView
	for after := ""; ; {
		var page struct {
			Items []care.AllocationView
			Next  string
		}
		w.worker.must(t, http.MethodGet, "residents/"+resident+"/list?limit=100&after="+url.QueryEscape(after), nil, &page)
		all = append(all, page.Items...)
		if after = page.Next; after == "" {
			return all
		}
	}
}

// needs reads a resident's needs.
func (w *town) needs(t testing.TB, resident string) []care.NeedView {
	t.Helper()
	var page struct{ Items []care.NeedView }
	w.worker.must(t, http.MethodGet, "residents/"+resident+"/needs", nil, &page)
	return page.Items
}
