package care

import (
	"context"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// QueueOffer is what can be handed over on the spot now.
type QueueOffer struct {
	Offer        string         `json:"offer"`
	TitleZH      string         `json:"title_zh"`
	TitleEN      string         `json:"title_en"`
	Category     string         `json:"category"`
	Unit         string         `json:"unit"`
	ProviderName string         `json:"provider_name"`
	ProviderKind providers.Kind `json:"provider_kind"`
	LeftUnits    int64          `json:"left_units"` // not handed over yet, in the counties that the asker sees
	UntilMs      int64          `json:"until_ms"`
}

// QueueOffers are the offers that are usable now, serve people whom the
// principal answers for, and are given by hand; those that end first come first.
func (s *Service) QueueOffers(ctx context.Context, p accounts.Principal) ([]QueueOffer, error) {
	now := s.now().UnixMilli()
	var out []QueueOffer
	for _, o := range s.offersNow() {
		if o.Handover.How == providers.Transfer || o.Handover.How == providers.Delivery {
			continue // not given at a counter
		}
		if !slices.ContainsFunc(o.Divisions, func(d string) bool { return p.Sees(d) || regions.Within(p.Division, d) }) {
			continue
		}
		var until int64
		for _, lot := range o.lots {
			if lot.FromMs <= now && now < lot.UntilMs {
				until = max(until, lot.UntilMs)
			}
		}
		if until == 0 {
			continue
		}
		left, err := s.left(ctx, o.ID, func(county string) bool { return p.Sees(county) || regions.Within(p.Division, county) })
		if err != nil {
			return nil, err
		}
		out = append(out, QueueOffer{
			Offer: o.ID, TitleZH: o.TitleZH, TitleEN: o.TitleEN, Category: o.Category, Unit: o.Unit,
			ProviderName: o.providerName, ProviderKind: o.Kind, LeftUnits: left, UntilMs: until,
		})
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].UntilMs != out[j].UntilMs {
			return out[i].UntilMs < out[j].UntilMs
		}
		return out[i].Offer < out[j].Offer
	})
	return out, nil
}

func (s *Service) offersNow() []openOffer {
	s.known.mu.RLock()
	defer s.known.mu.RUnlock()
	out := make([]openOffer, 0, len(s.known.byID))
	for _, o := range s.known.byID {
		out = append(out, o)
	}
	return out
}

// left is how many units of an offer's usable lots are not handed over yet in
// the counties that in accepts.
func (s *Service) left(ctx context.Context, offer string, in func(county string) bool) (int64, error) {
	shares, err := s.providers.Shares(ctx, offer)
	if err != nil {
		return 0, err
	}
	now := s.now().UnixMilli()
	var left int64
	for _, sh := range shares {
		if in(sh.County) && sh.FromMs <= now && now < sh.UntilMs {
			left += sh.FreeUnits() + sh.Promised
		}
	}
	return left, nil
}

// Queue says what is handed over to everybody who comes.
type Queue struct {
	Offers     []string // ids
	Categories []string // or every offer of these
	// SinceMs is when the queue began: whoever got an offer since then does not
	// get it again, whatever the caps allow. 0: only the caps decide.
	SinceMs int64
}

func (q Queue) wants(a AllocationView) bool {
	return slices.Contains(q.Offers, a.Offer) || slices.Contains(q.Categories, a.Category)
}

// QueueOutcome says how a scan in a queue ended.
type QueueOutcome string

// The outcomes.
const (
	QueueGiven   QueueOutcome = "given"   // all that was due
	QueueAlready QueueOutcome = "already" // today, or since the queue began
	QueueNothing QueueOutcome = "nothing" // nothing of it is due; Reason says why
	QueueRefused QueueOutcome = "refused" // something due was not handed over
)

// QueueItem is one allocation that a queue dealt with.
type QueueItem struct {
	Allocation AllocationView
	LeftUnits  int64 // of the offer in the county, for those after
	Err        error // why it was not handed over
}

// QueueResult answers a scan in a queue. Of the person it names what the one at
// the counter needs to call them by, and no more: others stand there.
type QueueResult struct {
	Scan     *ScanResult
	Outcome  QueueOutcome
	Initial  string // as [residents.Initial] makes it
	CardTail string // last four digits of the card number
	Given    []QueueItem
	Already  []QueueItem
	Refused  []QueueItem
	Reason   matching.Reason
}

// ServeQueue scans and hands over what is due of the queue's offers, in one
// step. Of two devices that scan the same person at the same moment, one gives.
// A scan that was answered may be repeated: it gives nothing twice.
//
// Errors: those of [Service.Scan]; what stands in the way of one handover is in
// the result.
func (s *Service) ServeQueue(ctx context.Context, p accounts.Principal, code string, q Queue) (*QueueResult, error) {
	scan, err := s.Scan(ctx, p, code)
	if err != nil {
		return nil, err
	}
	out := &QueueResult{Scan: scan, Initial: residents.Initial(scan.Resident.Name), CardTail: tail(scan.Resident.CardNo)}
	since := matching.Day.End(s.now()).Add(-24 * time.Hour).UnixMilli() // today
	if q.SinceMs > 0 {
		since = min(since, q.SinceMs)
	}
	received, err := s.receivedSince(ctx, scan.Resident.ID, since)
	if err != nil {
		return nil, err
	}
	done := map[string]bool{} // allocations handed over, some since the scan read them
	had := map[string]bool{}  // offers given since the queue began
	for _, a := range received {
		if !q.wants(a) {
			continue
		}
		out.Already = append(out.Already, QueueItem{Allocation: a})
		done[a.ID] = true
		had[a.Offer] = had[a.Offer] || q.SinceMs > 0 && a.HandedOverMs >= q.SinceMs
	}
	for _, a := range scan.Offered {
		if !q.wants(a) || done[a.ID] || had[a.Offer] {
			continue
		}
		if err := s.serve(ctx, p, scan, a, out); err != nil {
			return nil, err
		}
	}
	switch {
	case len(out.Refused) > 0:
		out.Outcome = QueueRefused
	case len(out.Given) > 0:
		out.Outcome = QueueGiven
	case len(out.Already) > 0:
		out.Outcome = QueueAlready
	default:
		out.Outcome, out.Reason = QueueNothing, s.whyNothing(scan, q)
	}
	return out, nil
}

// receivedSince is what was handed over to a resident from a time on, the last
// promised first. All they ever received is looked at: what was promised weeks
// ago may be handed over today.
func (s *Service) receivedSince(ctx context.Context, resident string, sinceMs int64) ([]AllocationView, error) {
	var out []AllocationView
	err := s.allocations.Each(ctx, store.Query{
		Index: "resident_state", Equal: []any{resident, string(HandedOver)}, Desc: true,
	}, func(a *Allocation) error {
		if a.givenMs() >= sinceMs {
			out = append(out, s.view(a))
		}
		return nil
	})
	return out, err
}

// serve hands over one allocation on the strength of the scan. Errors: those
// of the stores; a refusal goes into the result.
func (s *Service) serve(ctx context.Context, p accounts.Principal, scan *ScanResult, a AllocationView, out *QueueResult) error {
	v, err := s.HandOver(ctx, p, a.ID, Evidence{Scan: scan.Scan})
	if err != nil {
		out.Refused = append(out.Refused, QueueItem{Allocation: a, Err: err})
		return ctx.Err()
	}
	stored, err := s.allocations.Get(ctx, a.ID)
	if err != nil {
		return err
	}
	if stored.Scan != scan.Scan { // somebody else gave it in between
		out.Already = append(out.Already, QueueItem{Allocation: v})
		return nil
	}
	left, err := s.left(ctx, a.Offer, func(county string) bool { return county == stored.County })
	if err != nil {
		return err
	}
	out.Given = append(out.Given, QueueItem{Allocation: v, LeftUnits: left})
	return nil
}

// whyNothing says why nothing of a queue's offers is due to a person.
func (s *Service) whyNothing(scan *ScanResult, q Queue) matching.Reason {
	categories := slices.Clone(q.Categories)
	for _, id := range q.Offers {
		if o, ok := s.offer(id); ok && !slices.Contains(categories, o.Category) {
			categories = append(categories, o.Category)
		}
	}
	var why matching.Reason
	for _, n := range scan.Needs {
		if !slices.Contains(categories, n.Category) {
			continue
		}
		for _, miss := range n.NotServed {
			if slices.Contains(q.Offers, miss.Offer) {
				return miss.Reason
			}
		}
		why = n.Reason
	}
	if why.ZH == "" {
		var zh, en []string
		for _, id := range categories {
			if c, ok := providers.CategoryByID(id); ok {
				zh, en = append(zh, c.ZH), append(en, c.EN)
			}
		}
		why = matching.Reason{
			Code: "no_need", ZH: "没有登记“" + strings.Join(zh, "、") + "”类的需求。",
			EN: "No need for “" + strings.Join(en, ", ") + "” is recorded.",
		}
	}
	return why
}

func tail(cardNo string) string { return cardNo[max(0, len(cardNo)-4):] }
