package pages

import "strconv"

// Offer is one offer with its stock.
type Offer struct {
	Page
	ID, Kind, Status, Provider, How string
	Title, Category, Place          Text
	Note                            string
	ValueFen                        int64
	Fund                            Text // that pays for it; empty: none
	FundLink                        Link // for those who see it
	Places                          []string
	Groups                          []Text
	MinScoreMilli                   int64
	Rule                            Text     // what its rule says; empty: none
	Sets                            []string // that rules of other offers may name
	Cap                             Amount
	CapPeriod                       string
	Pace                            string // empty: drip
	ReserveMilli                    int64  // 0: the usual
	CreatedMs                       int64
	Money                           bool
	Live                            bool // stock is asked for again and again
	Kept                            []Kept
	Stock                           []Share
	Moves                           []Move // between counties, newest first
	MayWithdraw                     bool
	OfferForm                       string // key below "offer_form."
	Unlimited                       bool
	Images                          []string // addresses
	MayAgain                        bool
}

func (Offer) template() string { return "offer" }

// Times writes thousandths as a factor, such as 1.4.
func (Offer) Times(milli int64) string { return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64) }

// Yuan writes fen as yuan.
func (Offer) Yuan(fen int64) string { return Yuan(fen) }

// MovesShown is how many moves a page shows unfolded.
func (Offer) MovesShown() int { return 5 }

// Given are the shares that the page shows unfolded: those with units. Where
// none has any, all.
func (o Offer) Given() []Share {
	if given := o.shares(false); len(given) > 0 {
		return given
	}
	return o.Stock
}

// Bare are the shares of counties that have no units of a lot: they went where
// somebody needs them more. They may come back.
func (o Offer) Bare() []Share {
	if bare := o.shares(true); len(bare) < len(o.Stock) {
		return bare
	}
	return nil
}

func (o Offer) shares(bare bool) []Share {
	var out []Share
	for _, s := range o.Stock {
		if (!s.Unlimited && s.Qty == 0) == bare {
			out = append(out, s)
		}
	}
	return out
}

// Kept is a part of the offer that is kept for some, in all lots and counties.
type Kept struct {
	Number     int
	Group      Text   // empty: any
	Place      string // empty: anywhere
	PerMille   int64
	Qty, Given int64 // given: promised and handed over
	Money      bool
}

// KeptPart is the part with a number from 1; nil for 0.
func (o Offer) KeptPart(number int64) *Kept {
	if number < 1 || number > int64(len(o.Kept)) {
		return nil
	}
	return &o.Kept[number-1]
}

// KeptFor names those for whom a part is kept.
func (p Page) KeptFor(k Kept) string {
	switch group := p.Say(k.Group); {
	case k.Place == "":
		return group
	case group == "":
		return k.Place
	default:
		return p.T("offer.kept_both", k.Place, group)
	}
}

// Percent writes the part of each lot, such as 30 or 12.5.
func (k Kept) Percent() string { return strconv.FormatFloat(float64(k.PerMille)/10, 'f', -1, 64) }

// Of is how many units the part has.
func (k Kept) Of() string { return k.say(k.Qty) }

// Out is how many of them are given.
func (k Kept) Out() string { return k.say(k.Given) }

func (k Kept) say(n int64) string {
	if k.Money {
		return Yuan(n)
	}
	return Number(n)
}

// Share is one county's share of a lot.
type Share struct {
	ID, Place                                   string
	Kept                                        *Kept // nil: for everybody whom the offer serves
	FromMs, UntilMs                             int64
	Closed                                      string // "", over, withdrawn
	Qty, Free, Held, Promised, HandedOver, Gone int64
	Money                                       bool
	Unlimited                                   bool // then only what was given counts
}

// Move is units that went from one county to another.
type Move struct {
	From, To string
	Amount   Amount
	Waited   bool // somebody waited there
	AtMs     int64
	Arrived  bool
}

// Bar is a stretch of the bar, of a width of 100.
type Bar struct{ Class, X, W string }

// Count is one figure of a share.
type Count struct{ Class, Text string }

func (s Share) parts() []struct {
	class string
	n     int64
} {
	type part = struct {
		class string
		n     int64
	}
	if s.Unlimited {
		return []part{{"held", s.Held}, {"promised", s.Promised}, {"handed_over", s.HandedOver}}
	}
	return []part{{"free", s.Free}, {"held", s.Held}, {"promised", s.Promised}, {"handed_over", s.HandedOver}, {"gone", s.Gone}}
}

// Bars are the stretches from left to right.
func (s Share) Bars() []Bar {
	total := max(s.Qty, 1)
	out, x := []Bar{}, 0.0
	for _, p := range s.parts() {
		w := 100 * float64(p.n) / float64(total)
		out = append(out, Bar{p.class, strconv.FormatFloat(x, 'f', 3, 64), strconv.FormatFloat(w, 'f', 3, 64)})
		x += w
	}
	return out
}

// Counts are the figures below the bar.
func (s Share) Counts() []Count {
	say := func(n int64) string {
		if s.Money {
			return Yuan(n)
		}
		return Number(n)
	}
	var out []Count
	if !s.Unlimited {
		out = append(out, Count{"qty", say(s.Qty)})
	}
	for _, p := range s.parts() {
		out = append(out, Count{p.class, say(p.n)})
	}
	return out
}
