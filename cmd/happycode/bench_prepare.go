package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/bench"
	"github.com/xingfuma/happycode/providers"
)

const (
	// byBench is the actor of everything in the synthetic city.
	byBench = "bench"
	// benchNote is in the record of a synthetic city.
	benchNote = "bench"

	benchBlock   = 1000 // residents of one imported file
	benchWriters = 64   // writes under way at once, for group commits
	benchLotDays = 90
	benchLotQty  = 1_000_000
)

// cityOrder is what a synthetic city is to have.
type cityOrder struct {
	residents, offers, needs, tokens int
	ttl                              time.Duration
	dir                              string
}

func (p *program) benchPrepare() *cobra.Command {
	var o cityOrder
	c := &cobra.Command{
		Use:   "prepare",
		Short: "在空白档案中建一座合成城市 / write a synthetic city into an empty record",
		Long: `向当前设置的档案写入一座合成城市：机构、资源、居民（经由居民表导入）、需求、签名的卡与服务令牌；卡与令牌另存于 --city 目录，供 bench run 使用。人与机构均为虚构。可重复执行，中断后接着写；档案中已有真实数据时拒绝执行。

Writes a synthetic city into the record that is set: organisations, offers,
residents (by the import of spreadsheets), needs, signed cards and service
tokens; cards and tokens also go to the folder --city, for bench run. All people
and organisations are invented. Repeating it is safe and goes on where it was
interrupted; it refuses a record that has real data.`,
		Example: `  HAPPYCODE_DATA=/tmp/city happycode bench prepare --residents 100000 --offers 5000`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.prepareCity(cmd.Context(), o) },
	}
	o.flags(c)
	c.Flags().StringVar(&o.dir, "city", "", "城市文件写入此目录；默认 HAPPYCODE_DATA/bench / folder for the city's files; by default HAPPYCODE_DATA/bench")
	return c
}

func (o *cityOrder) flags(c *cobra.Command) {
	f := c.Flags()
	f.IntVar(&o.residents, "residents", 100_000, "居民人数，1 到 2000000 / residents, 1 to 2,000,000")
	f.IntVar(&o.offers, "offers", 5000, "资源数，1 到 200000 / offers, 1 to 200,000")
	f.IntVar(&o.needs, "needs", 2, "每位居民的需求数，1 到 8 / needs of each resident, 1 to 8")
	f.IntVar(&o.tokens, "tokens", 128, "扫码的社工（服务令牌）数，1 到 10000 / caseworkers (service tokens) who scan, 1 to 10000")
	f.DurationVar(&o.ttl, "ttl", 7*24*time.Hour, "令牌有效期 / how long the tokens are valid")
}

func (o cityOrder) check() error {
	if o.residents < 1 || o.residents > 2_000_000 || o.offers < 1 || o.offers > 200_000 || o.needs < 1 || o.needs > 8 || o.tokens < 1 || o.tokens > 10_000 {
		return say("--residents、--offers、--needs 或 --tokens 超出范围，见 happycode bench prepare --help",
			"--residents, --offers, --needs or --tokens is out of range, see happycode bench prepare --help", nil)
	}
	return nil
}

// builder writes a synthetic city.
type builder struct {
	p *program
	s *system
	o cityOrder

	villages, towns []string
	counties        []string
	categories      []providers.Category
}

func (p *program) prepareCity(ctx context.Context, o cityOrder) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	s, err := p.beside(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if o.dir == "" {
		o.dir = filepath.Join(s.settings.Data, benchFolder)
	}
	if _, err := s.notes.Get(ctx, benchNote); errors.Is(err, store.ErrNotFound) {
		if used, err := s.used(ctx); err != nil {
			return err
		} else if used {
			return say("档案中已有真实数据，不能混入合成城市；请用 HAPPYCODE_DATA 另指定一个空目录",
				"the record has real data, which a synthetic city must not be mixed with; set HAPPYCODE_DATA to an empty folder", nil)
		}
		if err := s.raise(ctx, benchNote, ""); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	b := &builder{p: p, s: s, o: o}
	if err := b.places(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{b.postOffers, b.importResidents, b.finish} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// places lists the divisions, and the categories that are counted in small
// units and can be posted.
func (b *builder) places() error {
	tree := b.s.tree.Load()
	for _, county := range tree.Counties() {
		if !regions.Within(county, b.s.city()) {
			continue
		}
		b.counties = append(b.counties, county)
		for _, town := range tree.Children(county) {
			b.towns = append(b.towns, town.ID)
			for _, village := range tree.Children(town.ID) {
				b.villages = append(b.villages, village.ID)
			}
		}
	}
	if len(b.villages) == 0 {
		return say("区划表中没有村（社区）；请先执行 happycode import divisions", "the division tree has no villages; run happycode import divisions first", nil)
	}
	for _, c := range providers.Categories() {
		if c.ID != providers.Cash && c.ID != providers.WishCategory { // a wish cannot be posted
			b.categories = append(b.categories, c)
		}
	}
	return nil
}

// each does a thing n times, some at once, with a bar.
func (b *builder) each(ctx context.Context, what string, n, atOnce int, do func(ctx context.Context, i int) error) error {
	bar := b.p.progress(what)
	defer bar.end()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	var done atomic.Int64
	var drawing atomic.Bool // the bar is drawn by one at a time
	for i := range n {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := do(gctx, i); err != nil {
				return err
			}
			if d := done.Add(1); drawing.CompareAndSwap(false, true) {
				bar.set(int(d), n)
				drawing.Store(false)
			}
			return nil
		})
	}
	return errors.Join(g.Wait(), ctx.Err())
}

const benchOrganisations = 30

// postOffers joins and approves the organisations and posts what they offer:
// four of five offers serve one town, most others a county, one in fifty the
// city.
func (b *builder) postOffers(ctx context.Context) error {
	kinds := []providers.Kind{providers.Government, providers.Charity, providers.Enterprise}
	organisations := make([]*providers.Organisation, min(benchOrganisations, b.o.offers))
	for i := range organisations {
		code := creditCode(i)
		o, err := b.s.providers.ByCreditCode(ctx, code)
		if errors.Is(err, store.ErrNotFound) {
			o, err = b.s.providers.Join(ctx, byBench, providers.NewOrganisation{
				Name: fmt.Sprintf("合成机构 %d", i+1), NameEN: fmt.Sprintf("Synthetic organisation %d", i+1),
				Kind: kinds[i%len(kinds)], CreditCode: code, Division: b.s.city(),
			})
		}
		if err == nil && o.Status == providers.Pending {
			o, err = b.s.providers.Decide(ctx, byBench, o.ID, providers.Approved, "合成城市 / synthetic city")
		}
		if err != nil {
			return err
		}
		organisations[i] = o
	}
	now := b.s.now()
	groups := residents.Groups()
	return b.each(ctx, "资源 / offers", b.o.offers, benchWriters, func(ctx context.Context, i int) error {
		category := b.categories[i%len(b.categories)]
		n := providers.NewOffer{
			TitleZH: fmt.Sprintf("%s %d", category.ZH, i+1), TitleEN: fmt.Sprintf("%s %d", category.EN, i+1), Category: category.ID,
			Handover: providers.Handover{How: providers.Pickup, Place: "合成助联体", PlaceEN: "Synthetic station"},
			Lots:     []providers.NewLot{{QtyUnits: benchLotQty, FromMs: now.Add(-time.Hour).UnixMilli(), UntilMs: now.Add(benchLotDays * 24 * time.Hour).UnixMilli()}},
			Key:      "bench-" + strconv.Itoa(i),
		}
		round := i / len(b.categories) // goes through the places for each category
		switch {
		case round%50 == 0:
			n.Divisions = []string{b.s.city()}
		case round%5 == 0:
			n.Divisions = []string{b.counties[round/5%len(b.counties)]}
		default:
			n.Divisions = []string{b.towns[round%len(b.towns)]}
		}
		if round%4 == 1 {
			n.Groups = []string{groups[round/4%len(groups)].ID}
		}
		if round%7 == 2 {
			n.MinScoreMilli = 300
		}
		if round%3 == 1 {
			n.CapUnits = category.CapUnits
		}
		_, err := b.s.providers.Post(ctx, byBench, organisations[i%len(organisations)], n)
		return err
	})
}

// creditCode is a valid code of an organisation that does not exist.
func creditCode(i int) string {
	stem := fmt.Sprintf("52330500MB%07d", i)
	for _, check := range "0123456789ABCDEFGHJKLMNPQRTUWXY" {
		if code, err := providers.ParseCreditCode(stem + string(check)); err == nil {
			return code
		}
	}
	return stem // one of the 31 characters always fits
}

// importResidents registers the residents as an office would: spreadsheets,
// read by the import. Who is registered already is known again.
func (b *builder) importResidents(ctx context.Context) error {
	blocks := (b.o.residents + benchBlock - 1) / benchBlock
	return b.each(ctx, "居民 / residents, ×"+strconv.Itoa(benchBlock), blocks, 4, func(ctx context.Context, block int) error {
		var sheet strings.Builder
		w := csv.NewWriter(&sheet)
		rows := [][]string{{"姓名", "身份证号", "区划代码", "人群", "评分", "同意"}}
		for i := block * benchBlock; i < min((block+1)*benchBlock, b.o.residents); i++ {
			rows = append(rows, b.person(i))
		}
		if err := w.WriteAll(rows); err != nil {
			return err
		}
		r, err := b.s.residents.Import(ctx, byBench, b.s.city(), strings.NewReader(sheet.String()), "bench.csv", nil)
		if err == nil && len(r.Bad) > 0 {
			err = fmt.Errorf("row %d, %s: %s", r.Bad[0].Row, r.Bad[0].Column, r.Bad[0].ReasonEN)
		}
		return err
	})
}

// person is a row of the spreadsheet.
func (b *builder) person(i int) []string {
	surnames, given := []rune("赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许"), []rune("福安康宁和平吉祥如意春夏秋冬梅兰竹菊松柏")
	name := string([]rune{surnames[i%20], given[i/20%20], given[i/400%20]})
	groups := residents.Groups()
	group := ""
	if i%3 > 0 {
		group = groups[i/3%len(groups)].ZH
	}
	return []string{name, nobody(i), b.villages[i%len(b.villages)], group, strconv.Itoa(i * 7 % 1001), "是"}
}

// nobody is the i-th valid number of nobody: births of 80 years, then the
// next number of the day.
func nobody(i int) string {
	const days = 80 * 365
	born := time.Date(1930, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i%days)
	stem := "330502" + born.Format("20060102") + fmt.Sprintf("%03d", i/days)
	for _, check := range "0123456789X" {
		if n, err := residents.ParseIDNumber(stem+string(check), born.AddDate(100, 0, 0)); err == nil {
			return n.Number
		}
	}
	return stem // one of the eleven characters always fits
}

// holder is a resident of the city with the card.
type holder struct {
	resident string
	code     *residents.Code
}

// finish writes down the needs, makes the tokens, signs the cards and writes
// the city's files. Cards that earlier runs have scanned stay in front.
func (b *builder) finish(ctx context.Context) error {
	var holders []holder
	if err := b.s.residents.Holders(ctx, b.s.city(), "", func(r *residents.Resident, c *residents.Code) error {
		if r.CreatedBy == byBench && c != nil && r.Status == residents.Active {
			holders = append(holders, holder{resident: r.ID, code: c})
		}
		return nil
	}); err != nil {
		return err
	}
	// The same people want the same at every repetition: what they want hangs
	// on their ids, which are as good as random.
	slices.SortFunc(holders, func(a, b holder) int { return cmp.Compare(a.resident, b.resident) })
	seed := func(id string) uint64 {
		n, _ := strconv.ParseUint(id[1:16], 16, 64)
		return n
	}
	total := len(holders) * b.o.needs
	if err := b.each(ctx, "需求 / needs", total, benchWriters, func(ctx context.Context, i int) error {
		h, j := holders[i/b.o.needs], i%b.o.needs
		pick := seed(h.resident)
		category := b.categories[(pick+uint64(j)*7)%uint64(len(b.categories))]
		_, err := b.s.residents.AddNeed(ctx, byBench, residents.NewNeed{
			Resident: h.resident, Category: category.ID, QtyUnits: 1, Urgency: 1 + int(pick>>8%4), Source: "import", Key: "bench-" + category.ID,
		})
		return err
	}); err != nil {
		return err
	}
	city := bench.City{Residents: len(holders), Offers: b.o.offers, Needs: b.o.needs, ExpiresMs: b.s.now().Add(b.o.ttl).UnixMilli()}
	for range b.o.tokens {
		token, _, err := b.s.accounts.MintToken(ctx, byBench, accounts.NewToken{
			Label: "合成城市 / synthetic city", Role: accounts.Caseworker, Division: b.s.city(), TTL: b.o.ttl,
		})
		if err != nil {
			return err
		}
		city.Tokens = append(city.Tokens, token)
	}
	codes := make([]string, len(holders))
	if err := b.each(ctx, "签名 / signing", len(holders), 4, func(ctx context.Context, i int) error {
		token, err := b.s.residents.Token(ctx, holders[i].code)
		codes[i] = token.Digits()
		return err
	}); err != nil {
		return err
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(codes), func(i, j int) { codes[i], codes[j] = codes[j], codes[i] })
	left, err := bench.WriteCity(b.o.dir, city, codes)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(b.p.out, "合成城市已就绪 / the synthetic city is ready: 居民 residents %d，资源 offers %d，需求 needs %d，未扫的卡 cards not scanned %d\n%s\n",
		len(holders), b.o.offers, total, left, b.o.dir)
	return err
}
