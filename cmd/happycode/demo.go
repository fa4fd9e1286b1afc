package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/reports"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/qrcode"
)

// The demo city is loaded once: every step is safe to repeat, so that an
// interrupted load goes on where it stopped, and a note in the record says
// when it is done. All its people and organisations are invented.

//go:embed demo/city.json
var cityJSON []byte

// What of the demo city is seen at once, so that no list is empty.
const (
	demoScans     = 14 // residents whose codes are scanned
	demoHandovers = 8  // of these, residents who have received something
)

// Steps of the note.
const (
	demoLoading = "loading"
	demoDone    = "done"
)

type demoCity struct {
	CaseworkerDivision string              `json:"caseworker_division"`
	Organisations      []demoOrganisation  `json:"organisations"`
	Residents          []demoResident      `json:"residents"`
	Reports            []reports.NewReport `json:"reports"`
}

type demoOrganisation struct {
	Key string `json:"key"`
	providers.NewOrganisation
	Offers []demoOffer `json:"offers"`
	Fund   *demoFund   `json:"fund"`
}

type demoOffer struct {
	TitleZH       string          `json:"title_zh"`
	TitleEN       string          `json:"title_en"`
	Category      string          `json:"category"`
	ValueFen      int64           `json:"value_fen"`
	Divisions     []string        `json:"divisions"`
	Groups        []string        `json:"groups"`
	MinScoreMilli int64           `json:"min_score_milli"`
	Rule          string          `json:"rule"`
	CapUnits      int64           `json:"cap_units"`
	CapPeriod     matching.Period `json:"cap_period"`
	How           providers.How   `json:"how"`
	Place         string          `json:"place"`
	PlaceEN       string          `json:"place_en"`
	Note          string          `json:"note"`
	Fund          bool            `json:"fund"` // the organisation's fund pays for it
	Lots          []struct {
		QtyUnits int64 `json:"qty_units"`
		FromDay  int   `json:"from_day"` // days from today
		UntilDay int   `json:"until_day"`
	} `json:"lots"`
}

type demoResident struct {
	Name       string   `json:"name"`
	IDNumber   string   `json:"id_number"`
	Division   string   `json:"division"`
	Groups     []string `json:"groups"`
	ScoreMilli int64    `json:"score_milli"`
	Household  string   `json:"household"`
	Needs      []struct {
		Category string `json:"category"`
		QtyUnits int64  `json:"qty_units"`
		Urgency  int    `json:"urgency"`
	} `json:"needs"`
}

// demoSecrets is DATA/demo.json, so that a restart prints the sign-ins again.
type demoSecrets struct {
	Passwords map[string]string `json:"passwords"` // by user name
	PIN       string            `json:"pin"`       // of the resident whose card is printed
}

type demoAccount struct {
	username, zh, en string
	role             accounts.Role
	organisation     string // key
	duty             accounts.Duty
}

func demoAccounts() []demoAccount {
	return []demoAccount{
		{"admin", "管理员", "administrator", accounts.Admin, "", ""},
		{"caseworker", "社工", "caseworker", accounts.Caseworker, "", ""},
		{"charity", "慈善组织", "charity", accounts.Provider, "charity", accounts.Owner},
		{"enterprise", "企业", "enterprise", accounts.Provider, "enterprise", accounts.Owner},
		{"counter", "企业柜台", "the enterprise's counter", accounts.Provider, "enterprise", accounts.HandOver},
	}
}

// demo is one loading of the demo city.
type demo struct {
	s         *system
	city      demoCity
	secrets   demoSecrets
	fresh     bool // the secrets were made just now
	accounts  map[string]*accounts.Account
	residents []*residents.Resident
}

// loadDemo loads the demo city where it is not there yet and prints how to
// look around.
func (p *program) loadDemo(ctx context.Context, s *system, address string) error {
	d := &demo{s: s, accounts: map[string]*accounts.Account{}}
	if err := json.Unmarshal(cityJSON, &d.city); err != nil {
		return err
	}
	state, err := s.notes.Get(ctx, demoNote)
	if errors.Is(err, store.ErrNotFound) {
		if used, err := s.used(ctx); err != nil {
			return err
		} else if used {
			fmt.Fprintln(p.out, "档案中已有真实数据，未载入演示城市 / the record is in use: the demo city was not loaded")
			return nil
		}
		state = &note{Text: demoLoading}
		err = s.raise(ctx, demoNote, demoLoading)
	}
	if err != nil {
		return err
	}
	if err := d.openSecrets(state.Text == demoDone); err != nil {
		return err
	}
	if state.Text != demoDone {
		fmt.Fprintln(p.out, "正在载入演示城市…… / loading the demo city…")
	}
	if err := d.load(ctx, state.Text == demoDone); err != nil {
		return err
	}
	if state.Text != demoDone {
		if err := s.raise(ctx, demoNote, demoDone); err != nil {
			return err
		}
	}
	return d.print(ctx, p, address)
}

// used says whether somebody works with the record already.
func (s *system) used(ctx context.Context) (bool, error) {
	people, _, err := s.residents.List(ctx, s.city(), "", 1)
	if err != nil {
		return false, err
	}
	organisations, _, err := s.providers.List(ctx, "", "", 1)
	if err != nil {
		return false, err
	}
	return len(people)+len(organisations) > 0, nil
}

func (d *demo) openSecrets(done bool) error {
	path := filepath.Join(d.s.settings.Data, "demo.json")
	text, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(text, &d.secrets); err != nil {
			return err
		}
		if done { // an earlier version's city has its own accounts
			return nil
		}
		return d.newSecrets(path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	pin, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return err
	}
	d.fresh = true
	d.secrets = demoSecrets{Passwords: map[string]string{}, PIN: fmt.Sprintf("%06d", pin)}
	if err := os.MkdirAll(d.s.settings.Data, 0o700); err != nil {
		return err
	}
	return d.newSecrets(path)
}

// newSecrets makes the passwords that are missing: all of them, or those of
// accounts that an earlier version did not have.
func (d *demo) newSecrets(path string) error {
	added := false
	for _, a := range demoAccounts() {
		if d.secrets.Passwords[a.username] == "" {
			d.secrets.Passwords[a.username], added = secret(), true
		}
	}
	if !added {
		return nil
	}
	return writePrivate(path, d.secrets)
}

func (d *demo) load(ctx context.Context, done bool) error {
	if done {
		if d.fresh { // demo.json was lost: the sign-ins get new passwords
			if err := d.loadAccounts(ctx, map[string]string{}); err != nil {
				return err
			}
		}
		return d.findResident(ctx)
	}
	organisations, err := d.loadOrganisations(ctx)
	if err != nil {
		return err
	}
	if err := d.loadAccounts(ctx, organisations); err != nil {
		return err
	}
	if err := d.s.awaitReady(ctx); err != nil {
		return err
	}
	if err := d.loadOffers(ctx, organisations); err != nil {
		return err
	}
	if err := d.loadResidents(ctx); err != nil {
		return err
	}
	for _, r := range d.city.Reports {
		if _, err := d.s.reports.Send(ctx, r); err != nil {
			return err
		}
	}
	return d.scan(ctx)
}

// loadAccounts makes the sign-ins; one that is there from an earlier try
// gets the password of now where that was lost.
func (d *demo) loadAccounts(ctx context.Context, organisations map[string]string) error {
	known := map[string]*accounts.Account{}
	for after := ""; ; {
		page, next, err := d.s.accounts.List(ctx, after, 100)
		if err != nil {
			return err
		}
		for _, a := range page {
			known[a.Username] = a
		}
		if after = next; after == "" {
			break
		}
	}
	for _, want := range demoAccounts() {
		if a := known[want.username]; a != nil {
			d.accounts[want.username] = a
			if d.fresh {
				if err := d.s.accounts.SetPassword(ctx, byCommand, a.ID, d.secrets.Passwords[want.username]); err != nil {
					return err
				}
			}
			continue
		}
		division := d.s.city()
		switch want.role {
		case accounts.Caseworker:
			division = d.city.CaseworkerDivision
		case accounts.Provider:
			division = "" // its organisation says what it acts for
		}
		a, err := d.s.accounts.Create(ctx, byCommand, accounts.NewAccount{
			Username: want.username, Password: d.secrets.Passwords[want.username], Role: want.role,
			Division: division, Organisation: organisations[want.organisation], Duty: want.duty, DisplayName: "演示" + want.zh,
		})
		if err != nil {
			return err
		}
		if want.duty == accounts.Owner {
			if err := d.s.providers.AddOwner(ctx, a.Organisation, a.ID); err != nil {
				return err
			}
		}
		d.accounts[want.username] = a
	}
	return nil
}

// loadOrganisations returns ids by key; all are approved.
func (d *demo) loadOrganisations(ctx context.Context) (map[string]string, error) {
	known := map[string]*providers.Organisation{}
	for after := ""; ; {
		page, next, err := d.s.providers.List(ctx, "", after, 100)
		if err != nil {
			return nil, err
		}
		for _, o := range page {
			known[o.CreditCode] = o
		}
		if after = next; after == "" {
			break
		}
	}
	ids := map[string]string{}
	for _, want := range d.city.Organisations {
		o := known[want.CreditCode]
		if o == nil {
			var err error
			if o, err = d.s.providers.Join(ctx, byCommand, want.NewOrganisation); err != nil {
				return nil, err
			}
		}
		if o.Status == providers.Pending {
			if _, err := d.s.providers.Decide(ctx, byCommand, o.ID, providers.Approved, "演示 / demo"); err != nil {
				return nil, err
			}
		}
		ids[want.Key] = o.ID
	}
	return ids, nil
}

func (d *demo) loadOffers(ctx context.Context, organisations map[string]string) error {
	zone := time.FixedZone("CST", 8*60*60)
	y, m, day := d.s.now().In(zone).Date()
	at := func(days int) int64 { return time.Date(y, m, day+days, 0, 0, 0, 0, zone).UnixMilli() }
	for _, organisation := range d.city.Organisations {
		id := organisations[organisation.Key]
		posted := map[string]bool{}
		for after := ""; ; {
			page, next, err := d.s.providers.Offers(ctx, id, after, 100)
			if err != nil {
				return err
			}
			for _, o := range page {
				posted[o.TitleZH] = true
			}
			if after = next; after == "" {
				break
			}
		}
		as := accounts.Principal{Account: byCommand, Role: accounts.Provider, Organisation: id}
		fund, err := d.loadFund(ctx, organisation.Key, id, organisation.Fund)
		if err != nil {
			return err
		}
		for _, o := range organisation.Offers {
			if posted[o.TitleZH] {
				continue
			}
			n := providers.NewOffer{
				TitleZH: o.TitleZH, TitleEN: o.TitleEN, Category: o.Category, ValueFen: o.ValueFen,
				Divisions: o.Divisions, Groups: o.Groups, MinScoreMilli: o.MinScoreMilli, Rule: o.Rule,
				CapUnits: o.CapUnits, CapPeriod: o.CapPeriod,
				Handover: providers.Handover{How: o.How, Place: o.Place, PlaceEN: o.PlaceEN, Note: o.Note},
			}
			if o.Fund {
				n.Fund = fund
			}
			for _, l := range o.Lots {
				n.Lots = append(n.Lots, providers.NewLot{QtyUnits: l.QtyUnits, FromMs: at(l.FromDay), UntilMs: at(l.UntilDay)})
			}
			if _, err := d.s.care.PostOffer(ctx, as, id, n); err != nil {
				return fmt.Errorf("offer %s: %w", o.TitleEN, err)
			}
		}
	}
	return nil
}

func (d *demo) loadResidents(ctx context.Context) error {
	as := d.caseworker()
	for i, want := range d.city.Residents {
		r, err := d.s.residents.ByIDNumber(ctx, want.IDNumber)
		if errors.Is(err, store.ErrNotFound) {
			pin := ""
			if i == 0 {
				pin = d.secrets.PIN
			}
			household := want.Household
			if household != "" {
				household = "demo-" + household
			}
			r, err = d.s.residents.Register(ctx, as.Account, residents.Registration{
				Name: want.Name, IDNumber: want.IDNumber, Division: want.Division, Groups: want.Groups,
				ScoreMilli: want.ScoreMilli, Household: household, PIN: pin,
				Consent: []string{residents.ConsentMatching, residents.ConsentHandover},
			})
		} else if err == nil && i == 0 {
			err = d.s.residents.SetPIN(ctx, r.ID, d.secrets.PIN)
		}
		if err != nil {
			return err
		}
		d.residents = append(d.residents, r)
		for _, n := range want.Needs {
			if _, err := d.s.care.AddNeed(ctx, as, residents.NewNeed{
				Resident: r.ID, Category: n.Category, QtyUnits: n.QtyUnits, Urgency: n.Urgency,
				Source: "report", Key: "demo-" + n.Category,
			}); err != nil {
				return fmt.Errorf("need %s of resident %s: %w", n.Category, r.ID, err)
			}
		}
	}
	return nil
}

// caseworker acts for the demo city as a whole.
func (d *demo) caseworker() accounts.Principal {
	return accounts.Principal{Account: d.accounts["caseworker"].ID, Role: accounts.Caseworker, Division: d.s.city(), Lang: "zh"}
}

// scan makes the first scans and hands some of what is promised over. The
// resident of the printed card keeps everything for the reader to try.
func (d *demo) scan(ctx context.Context) error {
	as := d.caseworker()
	for i, r := range d.residents[1:min(1+demoScans, len(d.residents))] {
		result, err := d.s.care.Scan(ctx, as, r.CardNo)
		if err != nil {
			return fmt.Errorf("scan resident %s: %w", r.ID, err)
		}
		// Demo residents have no PIN: what takes one waits for the reader.
		if i >= demoHandovers || len(result.Received) > 0 || len(result.Offered) == 0 || result.Offered[0].PINRequired {
			continue
		}
		if _, err := d.s.care.HandOver(ctx, as, result.Offered[0].ID, care.Evidence{Scan: result.Scan}); err != nil {
			return fmt.Errorf("hand over %s: %w", result.Offered[0].ID, err)
		}
	}
	return nil
}

// findResident reads the resident of the printed card.
func (d *demo) findResident(ctx context.Context) error {
	r, err := d.s.residents.ByIDNumber(ctx, d.city.Residents[0].IDNumber)
	if err != nil {
		return err
	}
	if d.fresh {
		if err := d.s.residents.SetPIN(ctx, r.ID, d.secrets.PIN); err != nil {
			return err
		}
	}
	d.residents = []*residents.Resident{r}
	return nil
}

// print says how to look around, and writes the card's code as a picture.
func (d *demo) print(ctx context.Context, p *program, address string) error {
	r := d.residents[0]
	code, err := d.s.residents.CodeByID(ctx, r.Code)
	if err != nil {
		return err
	}
	token, err := d.s.residents.Token(ctx, code)
	if err != nil {
		return err
	}
	url := qrcode.URL(d.s.settings.PublicHost, token)
	picture, err := qrcode.PNG(url, qrcode.Q, 640)
	if err != nil {
		return err
	}
	path := filepath.Join(d.s.settings.Data, "demo-card.png")
	if err := os.WriteFile(path, picture, 0o600); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n演示城市 / the demo city\n  网址 address        %s\n", address)
	for _, a := range demoAccounts() {
		if d.secrets.Passwords[a.username] == "" {
			continue
		}
		fmt.Fprintf(&b, "  %s %s  用户名 user name %s  密码 password %s\n", pad(a.zh, 8), pad(a.en, 13), pad(a.username, 10), d.secrets.Passwords[a.username])
	}
	fmt.Fprintf(&b, "  居民的卡 a resident's card\n    卡号 card number  %s\n    PIN               %s\n    二维码 code       %s\n    链接 link         %s\n\n", r.CardNo, d.secrets.PIN, path, url)
	_, err = fmt.Fprint(p.out, b.String())
	return err
}

// pad fills text up to a width in columns; a Chinese character takes two.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(width-columns(text), 0))
}

// columns is how wide a terminal shows the text.
func columns(text string) int {
	n := 0
	for _, c := range text {
		if c >= 0x1100 {
			n++
		}
		n++
	}
	return n
}
