package app

import (
	"context"
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/residents"
)

// historyView is one thing that happened to a person's codes, carers or PIN.
type historyView struct {
	AtMs     int64         `json:"at_ms"`
	Kind     string        `json:"kind" enum:"code_issued,code_revoked,carer_added,carer_ended,carer_expired,carer_pin_reset,pin_set,pin_changed"`
	By       string        `json:"by" description:"Who did it; empty for what time did."`
	Why      residents.Why `json:"why" description:"Of what was revoked or ended."`
	CardNo   string        `json:"card_no"`
	Carer    string        `json:"carer" description:"The carer's name."`
	Relation string        `json:"relation"`
	UntilMs  int64         `json:"until_ms" description:"Of a carer: until when."`
}

// historyPage is a person's history, in one page; it is whole but for the PIN.
type historyPage struct {
	Items     []historyView `json:"items" required:"true"`
	Next      string        `json:"next" required:"true" description:"Always empty."`
	PINFromMs int64         `json:"pin_from_ms" description:"Changes of PINs are told from here on; 0: all of them."`
}

// looksBack bounds how many entries of the audit log are searched for changes
// of the PIN, newest first: every view of a person is an entry.
const looksBack = 1000

// history is what happened to a person's codes, carers and PIN, newest first.
func (a *App) history(ctx context.Context, r *residents.Resident) (page historyPage, err error) {
	codes, err := a.Residents.Codes(ctx, r)
	if err != nil {
		return page, err
	}
	out := []historyView{}
	for _, x := range codes {
		if x.Carer != "" {
			continue // the carer's own lines say it
		}
		if x.RevokedMs > 0 {
			out = append(out, historyView{AtMs: x.RevokedMs, Kind: "code_revoked", By: x.RevokedBy, Why: x.RevokedWhy, CardNo: x.CardNo})
		}
		out = append(out, historyView{AtMs: x.IssuedAtMs(), Kind: "code_issued", By: x.IssuedBy, CardNo: x.CardNo})
	}
	carers, err := a.carersOf(ctx, r)
	if err != nil {
		return page, err
	}
	byID := map[string]historyView{}
	for _, x := range carers {
		v := historyView{CardNo: x.CardNo, Carer: x.Name, Relation: x.Relation, UntilMs: x.UntilMs}
		byID[x.ID] = v
		switch {
		case x.EndedMs > 0:
			ended := v
			ended.AtMs, ended.Kind, ended.By, ended.Why = x.EndedMs, "carer_ended", x.EndedBy, x.EndedWhy
			out = append(out, ended)
		case x.State == "expired":
			over := v
			over.AtMs, over.Kind = x.UntilMs, "carer_expired"
			out = append(out, over)
		}
		v.AtMs, v.Kind, v.By = x.FromMs, "carer_added", x.CreatedBy
		out = append(out, v)
	}
	for after, seen := "", 0; seen < looksBack; {
		entries, next, err := a.Audit.Of(ctx, r.ID, after, 200)
		if err != nil {
			return page, err
		}
		for _, e := range entries {
			switch {
			case e.Outcome != "ok":
			case e.Act == "reset_carer_pin":
				v := byID[e.Object]
				v.AtMs, v.Kind, v.By = e.AtMs, "carer_pin_reset", e.Actor
				out = append(out, v)
			case e.Act == "set_pin":
				out = append(out, historyView{AtMs: e.AtMs, Kind: "pin_set", By: e.Actor})
			case e.Act == "change_pin":
				out = append(out, historyView{AtMs: e.AtMs, Kind: "pin_changed", By: e.Actor})
			}
		}
		if seen, after = seen+len(entries), next; next == "" {
			break
		}
		if seen >= looksBack {
			page.PINFromMs = entries[len(entries)-1].AtMs
		}
	}
	// Stable: of two at the same moment, the first of those above is the later.
	slices.SortStableFunc(out, func(x, y historyView) int { return int(min(1, max(-1, y.AtMs-x.AtMs))) })
	page.Items = out
	return page, nil
}

func (a *App) listHistory(c *fiber.Ctx) error {
	page, err := a.history(c.UserContext(), residentOf(c))
	if err != nil {
		return err
	}
	return c.JSON(page)
}
