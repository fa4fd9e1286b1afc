//go:build integration

package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/app/store/mongo/mongotest"
	"github.com/xingfuma/happycode/qrcode"
)

// Keys are changed beside a running server, which follows within seconds.
func TestKeysBeside(t *testing.T) {
	t.Parallel()
	for name, on := range map[string]func(settingsOf) settingsOf{
		"sqlite": func(s settingsOf) settingsOf { return s },
		"mongo":  func(s settingsOf) settingsOf { return s.with("MONGO_URI", mongotest.URI(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := on(embedded(t))
			server := start(t, s)
			worker := newCaller(server.base, token(t, s, "--role", "caseworker", "--division", "330502000000"))
			card := func() (id, digits string, key byte) {
				t.Helper()
				var r struct {
					ID string `json:"id"`
				}
				worker.must(t, "POST", "residents", map[string]any{"name": "王秀英", "division": "330502000000", "consent": []string{"matching"}}, &r)
				digits, key = codeOf(t, worker, r.ID)
				return r.ID, digits, key
			}
			scan := func(digits string) error {
				return worker.call(t.Context(), "POST", "scans", map[string]any{"code": digits}, nil)
			}
			person, first, key := card()
			if key != 1 || scan(first) != nil {
				t.Fatalf("the first card is of key %d, scanned: %v", key, scan(first))
			}
			if out, errOut, status := command(t, s, "keys", "retire", "1"); status != 1 || !strings.Contains(errOut, "没有密钥可以签发") {
				t.Errorf("retire the only key: %d %s%s", status, out, errOut)
			}
			commandOK(t, s, "keys", "new", "--alg", "SM2")
			published := func(want string) func() error {
				return func() error {
					resp, err := http.Get(server.base + "/api/v1/keys")
					if err != nil {
						return err
					}
					defer resp.Body.Close()
					var set json.RawMessage
					if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
						return err
					}
					if !strings.Contains(string(set), want) {
						return errors.New(string(set))
					}
					return nil
				}
			}
			eventually(t, startTime, "the server hears of the new key", published(`"kid":"2"`))
			if _, second, key := card(); key != 2 || scan(second) != nil {
				t.Errorf("a new card is of key %d, scanned: %v", key, scan(second))
			}
			commandOK(t, s, "keys", "retire", "1")
			if err := scan(first); err != nil {
				t.Errorf("a card of the retired key: %v", err)
			}
			if out := commandOK(t, s, "keys", "list"); !strings.Contains(out, "已停用，旧卡有效 / retired") || !strings.Contains(out, "SM2") {
				t.Errorf("keys list:\n%s", out)
			}
			if out := commandOK(t, s, "keys", "retire", "1", "--compromised", "--yes"); !strings.Contains(out, "1 张卡") {
				t.Errorf("compromised: %s", out)
			}
			eventually(t, startTime, "the server refuses the compromised key's card", func() error {
				var no *refused
				if err := scan(first); !errors.As(err, &no) || no.status != http.StatusNotFound {
					return errors.Join(errors.New("it is taken"), err)
				}
				return nil
			})
			anew, key := codeOf(t, worker, person)
			if key != 2 || scan(anew) != nil {
				t.Errorf("the card printed anew is of key %d, scanned: %v", key, scan(anew))
			}
			server.stop(t)
		})
	}
}

// codeOf is a resident's card as the server shows it.
func codeOf(t *testing.T, c *caller, resident string) (digits string, key byte) {
	t.Helper()
	var code struct {
		Digits string `json:"digits"`
	}
	c.must(t, "GET", "residents/"+resident+"/code", nil, &code)
	token, err := qrcode.Parse(code.Digits)
	if err != nil {
		t.Fatal(err)
	}
	return code.Digits, token.Key
}
