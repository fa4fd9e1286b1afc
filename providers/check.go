package providers

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
)

const (
	maxDivisions = 2000
	maxGroups    = 50
	maxValueFen  = 1_000_000_000     // ten million yuan
	maxUntilMs   = 4_102_444_800_000 // 2100-01-01
)

// text trims a text and checks its length in characters.
func text(field, zh, en, s string, least, most int) (string, error) {
	s = strings.TrimSpace(s)
	n := utf8.RuneCountInString(s)
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		return "", FieldError{field, zh + "含有无法显示的字符，请删去。", en + " contains characters that cannot be shown: remove them.", nil}
	case n < least && s == "":
		return "", FieldError{field, "请填写" + zh + "。", en + " is missing: fill it in.", nil}
	case n < least:
		return "", FieldError{field, fmt.Sprintf("%s至少 %d 个字，请补充。", zh, least), fmt.Sprintf("%s has at least %d characters: add some.", en, least), nil}
	case n > most:
		return "", FieldError{field, fmt.Sprintf("%s最多 %d 个字，请缩短。", zh, most), fmt.Sprintf("%s has at most %d characters: shorten it.", en, most), nil}
	}
	return s, nil
}

func (s *Service) known(code string) bool {
	return regions.Valid(code) && (s.config.Known == nil || s.config.Known(code))
}

// checkOrganisation makes an organisation of what was filled in.
func (s *Service) checkOrganisation(n NewOrganisation) (*Organisation, error) {
	o := &Organisation{Kind: n.Kind, Division: n.Division}
	var err error
	if o.Name, err = text("name", "组织名称", "The name", n.Name, 2, 100); err != nil {
		return nil, err
	}
	if o.NameEN, err = text("name_en", "英文名称", "The English name", n.NameEN, 0, 200); err != nil {
		return nil, err
	}
	if !n.Kind.Valid() {
		return nil, FieldError{"kind", "请选择政府(government)、社会(charity)或企业(enterprise)。",
			"Choose government, charity or enterprise.", nil}
	}
	if o.CreditCode, err = ParseCreditCode(n.CreditCode); err != nil {
		return nil, err
	}
	if !s.known(n.Division) {
		return nil, FieldError{"division", "找不到该区划，请从列表中选择。", "There is no such division: choose one from the list.", nil}
	}
	if o.Contact, err = text("contact", "联系电话", "The contact", n.Contact, 0, 50); err != nil {
		return nil, err
	}
	return o, nil
}

// checkOffer makes an offer of what was filled in, and finds the counties that
// it serves: first for what is kept for nobody, then for each of its Kept.
func (s *Service) checkOffer(n NewOffer) (*Offer, []place, error) {
	o := &Offer{
		Category: n.Category, ValueFen: n.ValueFen, MinScoreMilli: n.MinScoreMilli, Wish: n.Wish, Only: n.Only, Fund: n.Fund,
		CapUnits: n.CapUnits, CapPeriod: n.CapPeriod, Pace: n.Pace, ReserveMilli: n.ReserveMilli, Handover: n.Handover,
	}
	for _, check := range []func() error{
		func() error { return s.checkWords(o, n) },
		func() error { return s.checkEligible(o, n) },
		func() error { return checkHandover(&o.Handover) },
		func() error { return s.checkLots(o, n) },
		func() error { return checkForm(o, n) },
		func() error { return checkRelease(o) },
		func() error { return s.checkKept(o, n.Kept) },
	} {
		if err := check(); err != nil {
			return nil, nil, err
		}
	}
	counties, err := s.countiesOf(o.Divisions)
	if err != nil {
		return nil, nil, err
	}
	places := []place{s.place(counties, o.Divisions)}
	shares := len(counties) // of each lot
	for _, k := range o.Kept {
		at, divisions := counties, o.Divisions
		if k.Division != "" {
			divisions = []string{k.Division}
			if at, err = s.countiesOf(divisions); err != nil {
				return nil, nil, err
			}
		}
		places = append(places, s.place(at, divisions))
		shares += len(at)
	}
	if most := maxSharesPerOffer / shares; len(o.Lots) > most {
		return nil, nil, ErrOffer{"lots", fmt.Sprintf("服务 %d 个区县时最多 %d 个批次，请分成多个资源发布。", len(counties), most),
			fmt.Sprintf("An offer for %d counties has at most %d lots: post several offers.", len(counties), most), nil}
	}
	return o, places, nil
}

// checkKept checks what is kept of each lot, and for whom.
func (s *Service) checkKept(o *Offer, kept []Kept) error {
	if len(kept) > maxKept {
		return ErrOffer{"kept", fmt.Sprintf("最多保留 %d 份，请合并。", maxKept), fmt.Sprintf("Keep at most %d parts: put some together.", maxKept), nil}
	}
	left := int64(1000)
	for i, k := range kept {
		field := func(name string) string { return fmt.Sprintf("kept[%d].%s", i, name) }
		switch {
		case k.Group == "" && k.Division == "":
			return ErrOffer{field("group"), "请选择为哪个人群或哪个区划保留。", "Choose for which group or division it is kept.", nil}
		case k.Group != "" && s.config.Group != nil && !s.config.Group(k.Group):
			return ErrOffer{field("group"), "没有这一人群，请从列表中选择。", "There is no such group: choose one from the list.", nil}
		case k.Division != "" && !s.known(k.Division):
			return ErrOffer{field("division"), "找不到该区划，请从列表中选择。", "There is no such division: choose one from the list.", nil}
		case k.Division != "" && !slices.ContainsFunc(o.Divisions, func(d string) bool { return regions.Within(k.Division, d) }):
			return ErrOffer{field("division"), "该区划不在服务区划之内，请改选或扩大服务区划。", "The division is not within those served: choose another, or serve it.", nil}
		case k.PerMille < 1 || k.PerMille > 1000:
			return ErrOffer{field("permille"), "保留的份额应为千分之 1 至 1000，请改正。", "What is kept is 1 to 1000 thousandths of each lot: correct it.", nil}
		case slices.ContainsFunc(kept[:i], func(other Kept) bool { return other.Group == k.Group && other.Division == k.Division }):
			return ErrOffer{field("group"), "已为同样的人保留过一份，请合并。", "A part is kept for the same people already: put them together.", nil}
		}
		if left -= k.PerMille; left < 0 {
			return ErrOffer{field("permille"), "各份保留加起来不得超过全部，请减少。", "All that is kept is more than the whole: keep less.", nil}
		}
	}
	o.Kept = slices.Clone(kept)
	return nil
}

func (s *Service) checkWords(o *Offer, n NewOffer) (err error) {
	if o.TitleZH, err = text("title_zh", "资源名称", "The title", n.TitleZH, 2, 100); err != nil {
		return err
	}
	if o.TitleEN, err = text("title_en", "英文名称", "The English title", n.TitleEN, 0, 200); err != nil {
		return err
	}
	category, ok := CategoryByID(n.Category)
	if !ok {
		return ErrOffer{"category", "没有这一类资源，请从列表中选择。", "There is no such kind of aid: choose one from the list.", nil}
	}
	if o.Unit, err = text("unit", "单位", "The unit", n.Unit, 0, 20); err != nil {
		return err
	}
	switch {
	case o.Unit == "":
		o.Unit = category.UnitZH
	case category.ID == Cash && o.Unit != category.UnitZH && o.Unit != category.UnitEN:
		return ErrOffer{"unit", "救助金以分计，单位请留空。", "Cash aid counts in fen: leave the unit empty.", nil}
	}
	if n.ValueFen < 0 || n.ValueFen > maxValueFen {
		return ErrOffer{"value_fen", "单价应为 0 至 10 亿分，请改正。", "The value of a unit is 0 to 1,000,000,000 fen: correct it.", nil}
	}
	return nil
}

func (s *Service) checkDivisions(o *Offer, divisions []string) error {
	if len(divisions) == 0 || len(divisions) > maxDivisions {
		return ErrOffer{"divisions", fmt.Sprintf("请选择 1 至 %d 个服务区划。", maxDivisions),
			fmt.Sprintf("Choose 1 to %d divisions to serve.", maxDivisions), nil}
	}
	for i, code := range divisions {
		if !s.known(code) {
			return ErrOffer{fmt.Sprintf("divisions[%d]", i), "找不到该区划，请从列表中选择。", "There is no such division: choose one from the list.", nil}
		}
	}
	o.Divisions = widest(divisions)
	return nil
}

func (s *Service) checkEligible(o *Offer, n NewOffer) error {
	if err := s.checkDivisions(o, n.Divisions); err != nil {
		return err
	}
	if len(n.Groups) > maxGroups {
		return ErrOffer{"groups", fmt.Sprintf("最多选择 %d 个人群。", maxGroups), fmt.Sprintf("Choose at most %d groups.", maxGroups), nil}
	}
	for i, group := range n.Groups {
		if group == "" || s.config.Group != nil && !s.config.Group(group) {
			return ErrOffer{fmt.Sprintf("groups[%d]", i), "没有这一人群，请从列表中选择。", "There is no such group: choose one from the list.", nil}
		}
	}
	o.Groups = slices.Compact(slices.Sorted(slices.Values(n.Groups)))
	if n.MinScoreMilli < 0 || n.MinScoreMilli > 1000 {
		return ErrOffer{"min_score_milli", "最低分应为 0 至 1000,请改正。", "The least score is 0 to 1000: correct it.", nil}
	}
	if n.CapUnits < 0 || n.CapUnits > maxQtyUnits {
		return ErrOffer{"cap_units", "每户上限应为 0(不限)至 1000 万，请改正。",
			"The cap per household is 0 (none) to 10,000,000: correct it.", nil}
	}
	if n.CapPeriod == "" {
		category, _ := CategoryByID(o.Category)
		o.CapPeriod = category.CapPeriod
	} else if !n.CapPeriod.Valid() {
		return ErrOffer{"cap_period", "周期应为 day、week、month、year 或 ever,请改正。",
			"The period is day, week, month, year or ever: correct it.", nil}
	}
	return nil
}

// widest sorts codes and leaves out those that lie in another one.
func widest(codes []string) []string {
	sorted := slices.Compact(slices.Sorted(slices.Values(codes)))
	set := make(map[string]bool, len(sorted))
	for _, code := range sorted {
		set[code] = true
	}
	return slices.DeleteFunc(sorted, func(code string) bool {
		for _, cut := range [...]int{9, 6, 4, 2} {
			above := code[:cut] + strings.Repeat("0", 12-cut)
			if above != code && set[above] {
				return true
			}
		}
		return false
	})
}

// countiesOf finds the counties that divisions lie in or contain, in order.
func (s *Service) countiesOf(divisions []string) ([]string, error) {
	found := map[string]bool{}
	for _, code := range divisions {
		if county := regions.County(code); county != "" {
			found[county] = true
			continue
		}
		below := 0
		if s.config.Counties != nil {
			for _, county := range s.config.Counties() {
				if regions.Within(county, code) {
					found[county] = true
					below++
				}
			}
		}
		if below == 0 {
			return nil, ErrOffer{"divisions", "所选区划之下没有区县，请改选区县或乡镇。",
				"A division you chose has no counties: choose counties or towns instead.", nil}
		}
	}
	counties := make([]string, 0, len(found))
	for county := range found {
		counties = append(counties, county)
	}
	slices.Sort(counties)
	return counties, nil
}

func checkHandover(h *Handover) (err error) {
	if !h.How.Valid() {
		return ErrOffer{"handover.how", "请选择交付方式:自取、配送、上门、转账或代金券。",
			"Choose how it is handed over: pickup, delivery, onsite, transfer or voucher.", nil}
	}
	least := 0
	if h.How == Pickup {
		least = 2
	}
	if h.Place, err = text("handover.place", "交付地点", "The place", h.Place, least, 200); err != nil {
		return err
	}
	if h.PlaceEN, err = text("handover.place_en", "英文地点", "The English place", h.PlaceEN, 0, 200); err != nil {
		return err
	}
	if h.Note, err = text("handover.note", "交付说明", "The note", h.Note, 0, 500); err != nil {
		return err
	}
	return checkPartners(h)
}

// shortLotMs is how long a lot may last for its offer to be given at once where
// nothing is said: there is no time in which anybody could be waited for.
const shortLotMs = 30 * 60_000

// The least and the greatest reserve, in thousandths of the expected demand.
const (
	minReserveMilli = 500
	maxReserveMilli = 3000
)

// checkRelease checks how fast an offer is released.
func checkRelease(o *Offer) error {
	switch {
	case o.Pace == "":
		o.Pace = matching.PaceNow
		for _, lot := range o.Lots {
			if lot.UntilMs-lot.FromMs > shortLotMs {
				o.Pace = matching.PaceDrip
			}
		}
	case !o.Pace.Valid():
		return ErrOffer{"pace", "请选择放出方式：先到先得(now)、均匀放出(even)或精准滴灌(drip)。",
			"Choose a pace: now, even or drip.", nil}
	}
	switch {
	case o.ReserveMilli == 0:
		o.ReserveMilli = matching.DefaultReserveMilli
	case o.ReserveMilli < minReserveMilli || o.ReserveMilli > maxReserveMilli:
		return ErrOffer{"reserve_milli", "预留倍数应为 0.5 至 3，请改正。", "The reserve is 0.5 to 3 times the expected demand: correct it.", nil}
	}
	return nil
}

// LotsOf are the lots of a new offer: those by hand, then those of its series,
// unchecked but for the latter; when there are more than an offer may have, not
// all.
// Errors: [ErrOffer].
func LotsOf(n NewOffer) ([]NewLot, error) {
	if len(n.Series) > maxSeries {
		return nil, ErrOffer{"series", fmt.Sprintf("一次最多 %d 个系列，请分开发布。", maxSeries), fmt.Sprintf("An offer has at most %d series: post several offers.", maxSeries), nil}
	}
	lots := slices.Clone(n.Lots)
	for i, series := range n.Series {
		if n.Unlimited {
			series.QtyUnits, series.Workers = UnlimitedUnits, 0
		}
		more, err := series.lots(fmt.Sprintf("series[%d]", i))
		if err != nil {
			return nil, err
		}
		if lots = append(lots, more...); len(lots) > maxLots {
			break
		}
	}
	return lots, nil
}

func (s *Service) checkLots(o *Offer, n NewOffer) error {
	lots, err := LotsOf(n)
	if err != nil {
		return err
	}
	o.Plan = slices.Clone(n.Series)
	if len(lots) == 0 || len(lots) > maxLots {
		return ErrOffer{"lots", fmt.Sprintf("请填写 1 至 %d 个批次。", maxLots), fmt.Sprintf("Give 1 to %d lots.", maxLots), nil}
	}
	now := store.Millis(s.config.Now())
	usable := false
	for i, lot := range lots {
		field := func(name string) string {
			if i >= len(n.Lots) {
				return "series"
			}
			return fmt.Sprintf("lots[%d].%s", i, name)
		}
		if n.Unlimited {
			lot.QtyUnits = UnlimitedUnits
		}
		switch {
		case lot.QtyUnits < 1 || lot.QtyUnits > maxQtyUnits:
			return ErrOffer{field("qty_units"), "数量应为 1 至 1000 万，请改正。", "The quantity is 1 to 10,000,000 units: correct it.", nil}
		case lot.FromMs < 0 || lot.FromMs > maxUntilMs:
			return ErrOffer{field("from_ms"), "开始时间不对，请重新选择。", "The start is not a usable time: choose it again.", nil}
		case lot.UntilMs > maxUntilMs:
			return ErrOffer{field("until_ms"), "结束时间不得晚于 2100 年，请重新选择。", "The end is after the year 2100: choose it again.", nil}
		case lot.UntilMs <= lot.FromMs:
			return ErrOffer{field("until_ms"), "结束时间应晚于开始时间，请改正。", "The end is not after the start: correct it.", nil}
		}
		usable = usable || lot.UntilMs > now
		o.Lots = append(o.Lots, OfferLot{QtyUnits: lot.QtyUnits, FromMs: lot.FromMs, UntilMs: lot.UntilMs})
	}
	if !usable {
		return ErrOffer{"lots", "所有批次都已过期，请至少填写一个尚可使用的批次。",
			"All lots are over: give at least one that can still be used.", nil}
	}
	slices.SortStableFunc(o.Lots, func(a, b OfferLot) int {
		if a.FromMs != b.FromMs {
			return int(min(max(a.FromMs-b.FromMs, -1), 1))
		}
		return int(min(max(a.UntilMs-b.UntilMs, -1), 1))
	})
	return nil
}
