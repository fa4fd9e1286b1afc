package pages

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed words/*.json
var catalogue embed.FS

// words are the texts of one language by key.
type words map[string]string

func loadWords(lang string) (words, error) {
	b, err := catalogue.ReadFile("words/" + lang + ".json")
	if err != nil {
		return nil, fmt.Errorf("read catalogue %s: %w", lang, err)
	}
	w := words{}
	if err := json.Unmarshal(b, &w); err != nil {
		return nil, fmt.Errorf("read catalogue %s: %w", lang, err)
	}
	return w, nil
}

func (w words) say(key string, args ...any) string {
	text, ok := w[key]
	if !ok {
		return "⟦" + key + "⟧"
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

func (w words) json(prefixes []string) (string, error) {
	some := words{}
	for key, text := range w {
		for _, prefix := range prefixes {
			if strings.HasPrefix(key, prefix) {
				some[key] = text
			}
		}
	}
	b, err := json.Marshal(some)
	return string(b), err
}
