package matching

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Reason says why something was decided: in words for the resident and the
// caseworker (ZH, EN), and as a code with its facts for machines. It holds
// nothing that identifies a person.
type Reason struct {
	Code  string            `json:"code"`
	ZH    string            `json:"zh"`
	EN    string            `json:"en"`
	Facts map[string]string `json:"facts,omitempty"`
}

// The codes of reasons; stored, so they never change their meaning.
const (
	CodeGiven           = "given"
	CodeGivenWaiting    = "given_waiting"
	CodeWaitingStock    = "waiting_stock"
	CodeWaitingLine     = "waiting_line"
	CodeWaitingEven     = "waiting_even"
	CodeWaitingKept     = "waiting_kept"
	CodeWaitingNone     = "waiting_none"
	CodeWaitingRule     = "waiting_rule"
	CodeWaitingCap      = "waiting_cap"
	CodeWaitingOfferCap = "waiting_offer_cap"
	CodeWaitingRebuild  = "waiting_rebuild"
	CodeWaitingConsent  = "waiting_consent"
	CodeNotDivision     = "not_division"
	CodeNotGroup        = "not_group"
	CodeNotScore        = "not_score"
	CodeNotRule         = "not_rule"
	CodeNotKept         = "not_kept"
	CodeNotYet          = "not_yet"
	CodeOver            = "over"
	CodeUnlisted        = "unlisted"
	CodeDeclined        = "declined"
	CodeExpired         = "expired"
	CodeHandedOver      = "handed_over"
	CodeWithdrawn       = "withdrawn"
	CodeRecordFull      = "record_full"
	CodeRecordClaimed   = "record_claimed"
	CodeWaitingRest     = "waiting_rest"
	CodeChanged         = "changed"
	CodeReduced         = "reduced"
	CodeOpenNow         = "open_now"
	CodeGone            = "gone"
	CodeBelowLine       = "below_line"
	CodeEvenLater       = "even_later"
	CodeOfferCapped     = "offer_capped"
	CodeNextScan        = "next_scan"
	CodeNextPlan        = "next_plan"
	CodeNextLot         = "next_lot"
	CodeNextFetch       = "next_fetch"
	CodeNextEnd         = "next_end"
)

// Text is a word or name in both languages; an empty EN falls back to ZH.
type Text struct{ ZH, EN string }

func (t Text) en() string {
	if t.EN == "" {
		return t.ZH
	}
	return t.EN
}

// Given is what [ReasonGiven] tells.
type Given struct {
	Offer, Unit, Category  Text // Unit is the word for one, such as 份
	Units                  int64
	Money                  bool // units are fen
	WeightMilli, LineMilli int64
	Waited                 bool  // given from the waiting list
	WasMilli               int64 // the line when it was last refused; 0: there was none
	Kept                   Text  // for whom the units were kept; empty: for nobody
	Opened                 bool  // they were kept for others, and had opened to all
}

// source says in words that the units were kept, and for whom.
func (g Given) source() (zh, en string) {
	switch {
	case g.Kept.ZH == "":
		return "", ""
	case g.Opened:
		return "（原为" + g.Kept.ZH + "保留，现已开放）", " (kept for: " + g.Kept.en() + "; now open to all)"
	}
	return "（为" + g.Kept.ZH + "保留的份额）", " (kept for: " + g.Kept.en() + ")"
}

// ReasonGiven: units of the offer are kept for the need.
func ReasonGiven(g Given) Reason {
	n, weight, line := strconv.FormatInt(g.Units, 10), milli(g.WeightMilli), milli(g.LineMilli)
	facts := map[string]string{"units": n}
	if g.WeightMilli > 0 { // else somebody decided without the lines
		facts["weight_milli"], facts["line_milli"] = strconv.FormatInt(g.WeightMilli, 10), strconv.FormatInt(g.LineMilli, 10)
	}
	units := inWords(g.Units, g.Unit, g.Money)
	kept, keptEN := g.source()
	zh := "“" + g.Offer.ZH + "” " + units.ZH + kept
	en := units.EN + " of “" + g.Offer.en() + "”" + keptEN
	switch {
	case g.Waited && g.WasMilli > g.LineMilli:
		facts["was_milli"] = strconv.FormatInt(g.WasMilli, 10)
		return Reason{
			CodeGivenWaiting,
			"“" + g.Category.ZH + "”的今日线从 " + milli(g.WasMilli) + " 降至 " + line + "，需求分 " + weight + "：从候补名单派发" + zh + "。",
			"The line for “" + g.Category.en() + "” fell from " + milli(g.WasMilli) + " to " + line + ", score " + weight +
				": given from the waiting list, " + en + ".",
			facts,
		}
	case g.Waited:
		return Reason{
			CodeGivenWaiting,
			"有了余量，需求分 " + weight + "：从候补名单派发" + zh + "。",
			"There is stock again, score " + weight + ": given from the waiting list, " + en + ".",
			facts,
		}
	case g.LineMilli > 0:
		return Reason{
			CodeGiven,
			"需求分 " + weight + "，“" + g.Category.ZH + "”今日线 " + line + "：派发" + zh + "。",
			"Score " + weight + ", today's line for “" + g.Category.en() + "” " + line + ": given, " + en + ".",
			facts,
		}
	}
	return Reason{
		CodeGiven,
		"已匹配：“" + g.Offer.ZH + "”有余量，按需派发 " + units.ZH + kept + "。",
		"Matched: “" + g.Offer.en() + "” has stock; given: " + units.EN + keptEN + ".",
		facts,
	}
}

// inWords is a number of units in words; money is in fen.
func inWords(n int64, unit Text, money bool) Text {
	if money {
		return Text{yuan(n), yuan(n)}
	}
	s := strconv.FormatInt(n, 10)
	out := Text{s + " " + unit.ZH, s + " " + unit.en()}
	if n != 1 && unit.EN != "" && !strings.HasSuffix(unit.EN, "s") {
		out.EN += "s"
	}
	return out
}

func yuan(fen int64) string { return fmt.Sprintf("¥%d.%02d", fen/100, fen%100) }

// milli writes thousandths with two decimals, cut: what is below a line never
// reads as if it were on it.
func milli(n int64) string { return fmt.Sprintf("%d.%02d", n/1000, n%1000/10) }

// ReasonWaitingLine: there is something, but it is kept for people in greater
// need who are still expected. The position is among the facts only: it changes
// while the reason stands, and is shown beside it.
func ReasonWaitingLine(category Text, weightMilli, lineMilli, position int64) Reason {
	return Reason{
		CodeWaitingLine,
		"需求分 " + milli(weightMilli) + "，低于“" + category.ZH + "”今日线 " + milli(lineMilli) + "：已列入候补，线降到时自动安排。",
		"Below today's line for “" + category.en() + "” (" + milli(lineMilli) + ") with " + milli(weightMilli) +
			": waiting; served as soon as the line falls to it.",
		map[string]string{
			"weight_milli": strconv.FormatInt(weightMilli, 10), "line_milli": strconv.FormatInt(lineMilli, 10),
			"position": strconv.FormatInt(position, 10),
		},
	}
}

// ReasonWaitingEven: the offer is released evenly, and what was released so far
// is given out.
func ReasonWaitingEven(category Text) Reason {
	return Reason{
		CodeWaitingEven,
		"“" + category.ZH + "”按时间均匀派发，目前放出的份额已派完：已列入候补，放出新份额时自动安排。",
		"“" + category.en() + "” is released evenly and what was released so far is given out: waiting; served as more is released.",
		nil,
	}
}

// ReasonWaitingKept: what is left is kept for others, and opens to all when none
// of them is expected any more, at a time at the latest.
func ReasonWaitingKept(category, who Text, k Kept) Reason {
	opens := time.UnixMilli(k.OpensMs).In(cst).Format("2006-01-02 15:04")
	facts := map[string]string{"opens_ms": strconv.FormatInt(k.OpensMs, 10)}
	if k.Group != "" {
		facts["kept_group"] = k.Group
	}
	if len(k.Divisions) > 0 {
		facts["kept_division"] = strings.Join(k.Divisions, " ")
	}
	return Reason{
		CodeWaitingKept,
		"余下的“" + category.ZH + "”为" + who.ZH + "保留，最迟 " + opens + " 对所有符合条件的人开放：已列入候补，开放时自动安排。",
		"What is left of “" + category.en() + "” is kept for: " + who.en() + "; it opens to everybody eligible by " + opens +
			" (China time): waiting; served when it opens.",
		facts,
	}
}

// ReasonWaitingStock: offers fit, but none has units left. position counts
// from 1; 0 leaves it out.
func ReasonWaitingStock(position int64) Reason {
	zh, en, facts := place(position)
	return Reason{
		CodeWaitingStock,
		"合适的资源目前已派完" + zh + "，有余量时自动安排。",
		"Everything suitable is given out at present" + en + "; you are served as soon as there is more.",
		facts,
	}
}

// ReasonWaitingNone: no offer of the category reaches this person now.
func ReasonWaitingNone(category Text, position int64) Reason {
	zh, en, facts := place(position)
	return Reason{
		CodeWaitingNone,
		"目前没有适合您的“" + category.ZH + "”类资源" + zh + "，有新资源时自动安排。",
		"No offer in “" + category.en() + "” reaches you now" + en + "; you are served when one does.",
		facts,
	}
}

// ReasonWaitingCap: the household has had what the category allows in this
// period, in fen where it is money. next is when the following period begins;
// zero: it never does.
func ReasonWaitingCap(used, limit int64, money bool, period Period, next time.Time) Reason {
	zh, en, facts := capped(used, limit, money, period, next)
	return Reason{
		CodeWaitingCap,
		"本户" + zh,
		"The household " + en,
		facts,
	}
}

// ReasonWaitingOfferCap: every offer that still has units has given this
// household what it allows in its period. next as in [ReasonWaitingCap].
func ReasonWaitingOfferCap(next time.Time) Reason {
	zh, en, facts := nextDay(next)
	return Reason{
		CodeWaitingOfferCap,
		"有余量的资源对本户均已达到该资源的限额，" + zh,
		"Every offer with stock has already given this household all it allows; " + en,
		facts,
	}
}

// ReasonWaitingRebuild: the matcher is being restored and decides nothing.
func ReasonWaitingRebuild() Reason {
	return Reason{
		CodeWaitingRebuild,
		"系统正在从档案恢复匹配数据，需求已登记，恢复后自动安排。",
		"The matcher is being restored from the record; the need is noted and served afterwards.",
		nil,
	}
}

// ReasonNoConsent: the resident has not agreed that needs are matched.
func ReasonNoConsent() Reason {
	return Reason{
		CodeWaitingConsent,
		"居民尚未同意用其信息匹配资源，登记同意后自动安排。",
		"The resident has not agreed to have needs matched; once the consent is recorded, they are.",
		nil,
	}
}

// ReasonNot turns the Why of a [Miss] into words.
func ReasonNot(why string) Reason {
	switch why {
	case MissDivision:
		return Reason{CodeNotDivision, "该资源不覆盖您所在的村（社区）。", "The offer does not reach your village or community.", nil}
	case MissGroup:
		return Reason{CodeNotGroup, "该资源面向其他人群。", "The offer is for other groups of people.", nil}
	case MissScore:
		return Reason{CodeNotScore, "该资源优先面向困难程度更高的家庭。", "The offer is kept for households in greater need.", nil}
	case MissKept:
		return Reason{CodeNotKept, "该资源余下的份额为其他人群或地区保留。", "What the offer has left is kept for other groups or places.", nil}
	case MissNotYet:
		return Reason{CodeNotYet, "该资源尚未开始发放。", "The offer has not begun yet.", nil}
	case MissOver:
		return Reason{CodeOver, "该资源已结束发放。", "The offer has ended.", nil}
	}
	return Reason{CodeUnlisted, "该资源目前未上架。", "The offer is not listed at present.", nil}
}

// ReasonNotRule: an offer's rule does not admit the person. clauses are what of
// it does not hold, or, where unknown, what the record cannot tell.
func ReasonNotRule(clauses []Text, unknown bool) Reason {
	var zh, en []string
	for _, c := range clauses {
		zh, en = append(zh, c.ZH), append(en, c.en())
	}
	facts := map[string]string{"unmet_zh": strings.Join(zh, "；"), "unmet_en": strings.Join(en, "; ")}
	switch {
	case len(clauses) == 0:
		return Reason{CodeNotRule, "该资源的领取条件目前无法核实。", "The offer's conditions cannot be checked at present.", nil}
	case unknown:
		facts["unknown"] = "true"
		return Reason{
			CodeNotRule, "档案中没有登记以下领取条件所需的信息，请补登记：" + facts["unmet_zh"] + "。",
			"The record does not tell whether this condition holds; add what is missing: " + facts["unmet_en"] + ".", facts,
		}
	}
	return Reason{
		CodeNotRule, "未满足该资源的领取条件：" + facts["unmet_zh"] + "。",
		"A condition of the offer is not met: " + facts["unmet_en"] + ".", facts,
	}
}

// ReasonWaitingRule: what there is has a rule that does not admit the person; not
// is that of the first, by [ReasonNotRule].
func ReasonWaitingRule(offer Text, not Reason) Reason {
	return Reason{
		CodeWaitingRule, "“" + offer.ZH + "”：" + not.ZH + "有合适的资源时自动安排。",
		"“" + offer.en() + "”: " + not.EN + " You are served when something fits.", not.Facts,
	}
}

// ReasonDeclined: the resident did not want it. What they said is not here,
// because it may be personal.
func ReasonDeclined() Reason {
	return Reason{Code: CodeDeclined, ZH: "已谢绝，份额已退回继续派发。", EN: "Declined; the units went back to be given to others."}
}

// ReasonExpired: nobody collected it in time.
func ReasonExpired(deadline time.Time) Reason {
	day := deadline.In(cst).Format("2006-01-02 15:04")
	return Reason{
		CodeExpired,
		"截至 " + day + " 未领取，份额已退回继续派发。",
		"Not collected by " + day + " (China time); the units went back to be given to others.",
		map[string]string{"deadline_ms": strconv.FormatInt(deadline.UnixMilli(), 10)},
	}
}

// ReasonNeedExpired: the need's own time passed before anything was found.
func ReasonNeedExpired() Reason {
	return Reason{CodeExpired, "需求的有效期已过。", "The time within which it was needed has passed.", nil}
}

// ReasonHandedOver: the aid was given.
func ReasonHandedOver() Reason {
	return Reason{CodeHandedOver, "已交付。", "Handed over.", nil}
}

// ReasonWithdrawn: the need was taken back; why is one of the keys that edits
// have, or "".
func ReasonWithdrawn(why string) Reason {
	because, known := editWhys()[why]
	if !known {
		return Reason{CodeWithdrawn, "需求已撤回。", "The need was withdrawn.", nil}
	}
	return Reason{CodeWithdrawn, "需求已撤回：" + because.ZH + "。", "The need was withdrawn: " + because.EN + ".", map[string]string{"why": why}}
}

// ReasonNeedOver: the time of the need has passed while part of it waited.
func ReasonNeedOver() Reason {
	return Reason{CodeExpired, "需求的有效期已过，余下的不再安排。", "The time within which it was needed has passed; the rest is not looked for any more.", nil}
}

// ReasonWaitingRest: part was given, and the rest is still wanted.
func ReasonWaitingRest() Reason {
	return Reason{CodeWaitingRest, "已领取一部分，余下的已列入候补，有余量时自动安排。", "Part was received; the rest waits and is served as soon as there is more.", nil}
}

// ReasonReduced: less is wanted than was promised.
func ReasonReduced() Reason {
	return Reason{CodeReduced, "需求数量已减少，多出的份额退回继续派发。", "Less is needed now; the units went back to be given to others.", nil}
}

// Edit is what [ReasonChanged] tells: what a need asked for and what it asks
// for now. Times are Unix ms, 0: no end.
type Edit struct {
	Why                 string // asked, situation, mistake, solved or other
	WasUnits, Units     int64
	Money               bool // units are fen
	WasUrgency, Urgency int
	WasUntilMs, UntilMs int64
	Note                bool // the note was changed; what it says is not here
}

func editWhys() map[string]Text {
	return map[string]Text{
		"asked":     {"居民提出", "the resident asked for it"},
		"situation": {"情况有变化", "the situation has changed"},
		"mistake":   {"登记有误", "it was recorded wrongly"},
		"solved":    {"已由其他途径解决", "it was solved in another way"},
		"other":     {"其他原因", "another reason"},
	}
}

// ReasonChanged: what a need asks for was changed.
func ReasonChanged(e Edit) Reason {
	var zh, en []string
	facts := map[string]string{"why": e.Why}
	if e.WasUnits != e.Units {
		was, now := strconv.FormatInt(e.WasUnits, 10), strconv.FormatInt(e.Units, 10)
		facts["was_units"], facts["units"] = was, now
		if e.Money {
			was, now = yuan(e.WasUnits), yuan(e.Units)
		}
		zh, en = append(zh, "数量 "+was+" 改为 "+now), append(en, "quantity "+was+" to "+now)
	}
	if e.WasUrgency != e.Urgency {
		was, now := strconv.Itoa(e.WasUrgency), strconv.Itoa(e.Urgency)
		facts["was_urgency"], facts["urgency"] = was, now
		zh, en = append(zh, "紧急程度 "+was+" 级改为 "+now+" 级"), append(en, "urgency "+was+" to "+now)
	}
	if e.WasUntilMs != e.UntilMs {
		facts["was_until_ms"], facts["until_ms"] = strconv.FormatInt(e.WasUntilMs, 10), strconv.FormatInt(e.UntilMs, 10)
		zh, en = append(zh, "截止时间改为"+deadline(e.UntilMs).ZH), append(en, "deadline to "+deadline(e.UntilMs).EN)
	}
	if e.Note {
		zh, en = append(zh, "说明已修改"), append(en, "the note")
	}
	because := editWhys()[e.Why]
	return Reason{CodeChanged, "需求已更改：" + strings.Join(zh, "，") + "（" + because.ZH + "）。", "The need was changed: " + strings.Join(en, ", ") + " (" + because.EN + ").", facts}
}

func deadline(ms int64) Text {
	if ms == 0 {
		return Text{"无期限", "none"}
	}
	at := moment(ms)
	return Text{" " + at, at + " (China time)"}
}

func moment(ms int64) string { return time.UnixMilli(ms).In(cst).Format("2006-01-02 15:04") }

// ReasonConsidered says how an offer that fits stands to a need at this moment:
// its lowest line and whether something is left behind it. lineMilli may be
// [Shut].
func ReasonConsidered(weightMilli, lineMilli, freeUnits int64) Reason {
	facts := map[string]string{"weight_milli": strconv.FormatInt(weightMilli, 10), "line_milli": strconv.FormatInt(lineMilli, 10)}
	switch {
	case freeUnits <= 0:
		return Reason{CodeGone, "目前已派完。", "Given out at present.", facts}
	case lineMilli == Shut:
		delete(facts, "line_milli")
		return Reason{CodeEvenLater, "按时间均匀派发，目前放出的份额已派完。", "It is released evenly, and what was released so far is given out.", facts}
	case lineMilli > weightMilli:
		return Reason{
			CodeBelowLine, "今日线 " + milli(lineMilli) + "，高于需求分 " + milli(weightMilli) + "：为更困难的家庭保留。",
			"Its line is " + milli(lineMilli) + ", above the score " + milli(weightMilli) + ": kept for households in greater need.", facts,
		}
	}
	return Reason{
		CodeOpenNow, "今日线 " + milli(lineMilli) + "，需求分 " + milli(weightMilli) + "：可以派发。",
		"Its line is " + milli(lineMilli) + ", the score " + milli(weightMilli) + ": it can be given.", facts,
	}
}

// ReasonOfferCapped: the household has had what an offer allows it, in its unit
// or, where it is money, in fen. next is when it may have more; the zero time
// means never.
func ReasonOfferCapped(used, limit int64, unit Text, money bool, next time.Time) Reason {
	u, l := inWords(used, unit, money), inWords(limit, unit, money)
	zh, en, facts := nextDay(next)
	facts["used"], facts["limit"] = strconv.FormatInt(used, 10), strconv.FormatInt(limit, 10)
	return Reason{
		CodeOfferCapped, "该资源每户限 " + l.ZH + "，本户已安排 " + u.ZH + "：" + zh,
		"It allows a household " + l.EN + ", and this one has had " + u.EN + ": " + en, facts,
	}
}

// ReasonNextScan: nobody has looked for something yet.
func ReasonNextScan() Reason {
	return Reason{CodeNextScan, "尚未匹配：下次扫码时即刻匹配。", "Nothing was looked for yet: the next scan matches it.", nil}
}

// ReasonNextPlan: when the lines are drawn anew at the latest.
func ReasonNextPlan(at time.Time) Reason {
	return Reason{
		CodeNextPlan, "最晚 " + moment(at.UnixMilli()) + " 重新计算今日线；线降到需求分或有新余量时自动派发。",
		"The lines are drawn anew by " + moment(at.UnixMilli()) + " (China time); it is served when one falls to its score or there is more.",
		map[string]string{"at_ms": strconv.FormatInt(at.UnixMilli(), 10)},
	}
}

// ReasonNextLot: when an offer that fits begins.
func ReasonNextLot(offer Text, fromMs int64) Reason {
	return Reason{
		CodeNextLot, "“" + offer.ZH + "”将于 " + moment(fromMs) + " 开始发放。", "“" + offer.en() + "” begins at " + moment(fromMs) + " (China time).",
		map[string]string{"from_ms": strconv.FormatInt(fromMs, 10)},
	}
}

// ReasonNextFetch: until when something promised has to be fetched.
func ReasonNextFetch(offer Text, untilMs int64) Reason {
	return Reason{
		CodeNextFetch, "“" + offer.ZH + "”请在 " + moment(untilMs) + " 前领取，逾期退回。",
		"“" + offer.en() + "” is to be fetched by " + moment(untilMs) + " (China time), or it goes back.",
		map[string]string{"until_ms": strconv.FormatInt(untilMs, 10)},
	}
}

// ReasonNextEnd: when the need ends if nothing is found.
func ReasonNextEnd(untilMs int64) Reason {
	return Reason{
		CodeNextEnd, "需求于 " + moment(untilMs) + " 到期，届时未安排的部分即结束。",
		"The need ends at " + moment(untilMs) + " (China time); what is not found by then is not looked for any more.",
		map[string]string{"until_ms": strconv.FormatInt(untilMs, 10)},
	}
}

// ReasonOfferWithdrawn: the provider took the offer back.
func ReasonOfferWithdrawn() Reason {
	return Reason{CodeWithdrawn, "资源方已撤回该资源，需求将另行安排。", "The provider withdrew the offer; the need is matched again.", nil}
}

// ReasonRecordFull: the record has promised the last unit to others already.
func ReasonRecordFull() Reason {
	return Reason{CodeRecordFull, "档案显示该资源已派完，将重新匹配。", "The record shows that this offer is given out; the need is matched again.", nil}
}

// ReasonRecordClaimed: the record knows the household's claim for this
// period already.
func ReasonRecordClaimed() Reason {
	return Reason{CodeRecordClaimed, "档案显示本户本期已有同类派发，不重复发放。", "The record shows that the household already has this kind of aid for the period; it is not given twice.", nil}
}

func place(position int64) (zh, en string, facts map[string]string) {
	if position <= 0 {
		return "", "", nil
	}
	n := strconv.FormatInt(position, 10)
	return "，排在第 " + n + " 位", " (number " + n + " on the list)", map[string]string{"position": n}
}

func capped(used, limit int64, money bool, period Period, next time.Time) (zh, en string, facts map[string]string) {
	u, l := strconv.FormatInt(used, 10), strconv.FormatInt(limit, 10)
	span := map[Period]Text{
		Day: {"今日", "today"}, Week: {"本周", "this week"}, Month: {"本月", "this month"},
		Year: {"今年", "this year"}, Ever: {"累计", "in all"},
	}[period]
	zh, en, facts = nextDay(next)
	facts["used"], facts["limit"], facts["period"] = u, l, string(period)
	if money {
		u, l = yuan(used), yuan(limit)
	}
	return span.ZH + "同类帮扶已用 " + u + "/" + l + "，" + zh,
		"has used " + u + " of " + l + " of this kind " + span.EN + "; " + en, facts
}

func nextDay(next time.Time) (zh, en string, facts map[string]string) {
	if next.IsZero() {
		return "不再重复发放。", "it is not given again.", map[string]string{}
	}
	day := next.In(cst).Format("2006-01-02")
	return day + " 起可再次安排。", "next possible from " + day + ".",
		map[string]string{"next_ms": strconv.FormatInt(next.UnixMilli(), 10)}
}
