package app

import (
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

const (
	progressKept = 10 * time.Minute
	progressMost = 1000 // imports remembered at once
	progressID   = 64   // characters of an import's id
)

// imports is how far the imports under way have come, so that a page can show
// a bar. In memory: after a restart there is none under way.
type imports struct {
	mu sync.Mutex
	at map[string]importView
}

type importView struct {
	Done      int   `json:"done" description:"Rows or cards worked on."`
	Total     int   `json:"total" description:"Rows or cards in all; 0 while it is not known."`
	UpdatedMs int64 `json:"updated_ms"`
}

// progress returns what an import reports its rows to, under the id that the
// sender chose (form field import_id) for [App.getImport].
func (a *App) progress(c *fiber.Ctx) func(done, total int) {
	return a.progressOf(c, c.FormValue("import_id"))
}

// progressOf is progress under an id that was read already.
func (a *App) progressOf(c *fiber.Ctx, id string) func(done, total int) {
	if id == "" || len(id) > progressID {
		return func(int, int) {}
	}
	key := actor(principalOf(c)) + "|" + id
	return func(done, total int) {
		now := a.Now()
		a.imports.mu.Lock()
		defer a.imports.mu.Unlock()
		if len(a.imports.at) >= progressMost {
			for k, v := range a.imports.at {
				if now.Sub(time.UnixMilli(v.UpdatedMs)) > progressKept || len(a.imports.at) >= 2*progressMost {
					delete(a.imports.at, k)
				}
			}
		}
		a.imports.at[key] = importView{done, total, now.UnixMilli()}
	}
}

// getImport says how far an import of the asker's is: nothing of nothing where
// it has not begun, because a page asks before the server has read all of it, or
// is long over.
func (a *App) getImport(c *fiber.Ctx) error {
	a.imports.mu.Lock()
	v := a.imports.at[actor(principalOf(c))+"|"+c.Params("id")]
	a.imports.mu.Unlock()
	return c.JSON(v)
}
