package pages

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"path"
	"strings"
)

// dist is what `make web` builds; without it there is only an empty marker.
//
//go:embed all:dist
var dist embed.FS

// Assets are the built files: their names carry a hash of their content, so
// that they may be kept for ever.
type Assets struct {
	files fs.FS
	urls  map[string]string // source name → built name
	known map[string]bool   // built names
}

func openAssets(root fs.FS) (*Assets, error) {
	files, err := fs.Sub(root, "dist")
	if err != nil {
		return nil, fmt.Errorf("open build: %w", err)
	}
	a := &Assets{files: files, urls: map[string]string{}, known: map[string]bool{}}
	b, err := fs.ReadFile(files, "manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &a.urls)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest of the build: %w", err)
	}
	for _, built := range a.urls {
		a.known[built] = true
	}
	return a, nil
}

// Built says whether there was a build.
func (a *Assets) Built() bool { return len(a.urls) > 0 }

// URL is where the file with this source name ("app.css") is served, or "".
func (a *Assets) URL(name string) string {
	if built := a.urls[name]; built != "" {
		return "/assets/" + built
	}
	return ""
}

// Asset is a file to serve.
type Asset struct {
	Type string // media type
	Gzip bool   // Body is compressed
	Body []byte
}

// Open reads a built file by its built name, compressed when gzip is set and
// the build made a compressed copy. Errors: [fs.ErrNotExist].
func (a *Assets) Open(name string, gzip bool) (Asset, error) {
	if !a.known[name] {
		return Asset{}, fmt.Errorf("open asset: %w", fs.ErrNotExist)
	}
	out := Asset{Type: mediaType(name)}
	if gzip {
		if b, err := fs.ReadFile(a.files, name+".gz"); err == nil {
			out.Gzip, out.Body = true, b
			return out, nil
		}
	}
	b, err := fs.ReadFile(a.files, name)
	if err != nil {
		return Asset{}, fmt.Errorf("open asset: %w", err)
	}
	out.Body = b
	return out, nil
}

// OpenSource reads a built file by its source name, for the few that are served
// under an address that stays. Errors: [fs.ErrNotExist].
func (a *Assets) OpenSource(name string) (Asset, error) { return a.Open(a.urls[name], false) }

func mediaType(name string) string {
	switch ext := strings.ToLower(path.Ext(name)); ext {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".wasm":
		return "application/wasm"
	case ".webmanifest":
		return "application/manifest+json; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		if t := mime.TypeByExtension(ext); t != "" {
			return t
		}
		return "application/octet-stream"
	}
}
