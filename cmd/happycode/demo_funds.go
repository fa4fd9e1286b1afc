package main

import (
	"context"
	"fmt"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers/funds"
)

// demoFund is a fund of a demo organisation; its offers marked with fund draw on
// it.
type demoFund struct {
	funds.NewFund
	Donations []struct {
		funds.NewDonation
		DaysAgo int `json:"days_ago"`
	} `json:"donations"`
}

// loadFund makes an organisation's fund with its donations, once, and returns its
// id; "" where it has none.
func (d *demo) loadFund(ctx context.Context, key, organisation string, want *demoFund) (string, error) {
	if want == nil {
		return "", nil
	}
	org, err := d.s.providers.Get(ctx, organisation)
	if err != nil {
		return "", err
	}
	n := want.NewFund
	n.Key = "demo"
	f, err := d.s.funds.Create(ctx, byCommand, org, n)
	if err != nil {
		return "", fmt.Errorf("fund of %s: %w", key, err)
	}
	for i, x := range want.Donations {
		n := x.NewDonation
		n.AtMs = store.Millis(d.s.now().Add(-time.Duration(x.DaysAgo) * 24 * time.Hour))
		n.Key = fmt.Sprintf("demo-%d", i)
		if _, err := d.s.funds.Donate(ctx, byCommand, f.ID, n); err != nil {
			return "", fmt.Errorf("donation %d of %s: %w", i, key, err)
		}
	}
	return f.ID, nil
}
