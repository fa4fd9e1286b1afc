package eligibility_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/providers/eligibility"
)

func names() eligibility.Names {
	of := func(known map[string]eligibility.Text) func(string) (eligibility.Text, bool) {
		return func(id string) (eligibility.Text, bool) { t, ok := known[id]; return t, ok }
	}
	return eligibility.Names{
		Group: of(map[string]eligibility.Text{
			"elderly": {ZH: "老年人", EN: "Elderly"}, "disabled": {ZH: "残疾人", EN: "Disabled"}, "child": {ZH: "儿童", EN: "Child"}, "serious_illness": {ZH: "大病", EN: "Serious illness"},
		}),
		Category: of(map[string]eligibility.Text{"meal": {ZH: "助餐", EN: "Meals"}, "cash": {ZH: "救助金", EN: "Cash aid"}}),
		Division: of(map[string]eligibility.Text{"330502001000": {ZH: "东林镇", EN: "Donglin"}, "330502000000": {ZH: "吴兴区", EN: "Wuxing"}, "330502002000": {ZH: "道场乡", EN: "Daochang"}}),
		Offer:    of(map[string]eligibility.Text{"o1": {ZH: "冬衣", EN: "Winter coat"}}),
	}
}

func parse(t *testing.T, expr string) *eligibility.Rule {
	t.Helper()
	r, err := eligibility.Parse(expr)
	if err == nil {
		err = r.Check(names())
	}
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return r
}

// What an expert writes, what it is written as, and what it says.
func TestAnExpressionSaysWhatItIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expr, want, zh, en string }{
		{
			`age>70&&household_size==1 && !received.within("meal",7)`,
			`age > 70 && household_size == 1 && !received.within("meal", 7)`,
			"须满足：年龄大于 70 岁，且独自一户（本户只登记一人），且本户最近 7 天内没有领过助餐。",
			"This must hold: is aged more than 70, and lives alone (one registered member in the household), and the household has not had Meals in the last 7 days.",
		},
		{
			`("elderly" in groups || "disabled" in groups) && 0.6 <= score`,
			`("elderly" in groups || "disabled" in groups) && score >= 0.6`,
			"须满足：属于老年人或残疾人，且困难评分不低于 0.6。",
			"This must hold: belongs to Elderly or Disabled, and has a score of at least 0.6.",
		},
		{
			`!("disabled" in health || "child" in groups)`,
			`!("disabled" in health || "child" in groups)`,
			"须满足：以下情况除外（健康状况为残疾人，或属于儿童）。",
			"This must hold: it is not so that (has as health Disabled, or belongs to Child).",
		},
		{
			`received.others(["#冬季救助","o1"], 30) < 2 && (division.startsWith("330502001") || age < 6 && household_size >= 3)`,
			`received.others(["#冬季救助", "o1"], 30) < 2 && (division.startsWith("330502001") || (age < 6 && household_size >= 3))`,
			"须满足：本户最近 30 天内领过的“冬季救助”组合或“冬衣”中其他资源小于 2 项，且（住在东林镇，或（年龄小于 6 岁，且本户登记人数不低于 3 人））。",
			"This must hold: of the other offers in the set “冬季救助” or “Winter coat” the household has had less than 2 in the last 30 days, and (lives in Donglin, or (is aged less than 6, and the household's registered members are at least 3)).",
		},
		{
			`!(today < "2026-12-01") && !(!(age != 3))`, `!(today < "2026-12-01") && age != 3`,
			"须满足：日期不早于 2026-12-01，且年龄不是 3 岁。", "This must hold: the date is 2026-12-01 at the earliest, and is aged not 3.",
		},
		{
			`division.startsWith("330502") && received.within("cash", 1)`, `division.startsWith("330502") && received.within("cash", 1)`,
			"须满足：住在吴兴区，且本户今天领过救助金。", "This must hold: lives in Wuxing, and the household has had Cash aid today.",
		},
	} {
		r := parse(t, c.expr)
		if r.Expr != c.want {
			t.Errorf("%s is written\n%s, want\n%s", c.expr, r.Expr, c.want)
		}
		if got := r.Sentence(names()); got.ZH != c.zh || got.EN != c.en {
			t.Errorf("%s says\n%s\n%s, want\n%s\n%s", c.expr, got.ZH, got.EN, c.zh, c.en)
		}
		again := parse(t, r.Expr)
		if diff := cmp.Diff(r.Tree, again.Tree); diff != "" || again.Expr != r.Expr {
			t.Errorf("%s, read back, is %s\n%s", r.Expr, again.Expr, diff)
		}
		built, err := eligibility.FromTree(r.Tree)
		if err != nil || built.Expr != r.Expr {
			t.Errorf("the tree of %s gives %v, %v", r.Expr, built, err)
		}
	}
}

func TestAFormsTree(t *testing.T) {
	t.Parallel()
	var tree eligibility.Tree
	if err := json.Unmarshal([]byte(`{"all":[{"ask":"age","op":">","number":70},{"ask":"group","values":["elderly","disabled"]},{"not":{"ask":"received","values":["meal","cash"],"days":7}}]}`), &tree); err != nil {
		t.Fatal(err)
	}
	r, err := eligibility.FromTree(tree)
	if err != nil {
		t.Fatal(err)
	}
	if want := `age > 70 && ("elderly" in groups || "disabled" in groups) && !(received.within("meal", 7) || received.within("cash", 7))`; r.Expr != want {
		t.Errorf("it is %s, want %s", r.Expr, want)
	}
	if diff := cmp.Diff(tree, r.Tree); diff != "" {
		t.Errorf("the form comes back changed: %s", diff)
	}
	if !r.Tree.Simple() || parse(t, `age > 3 && (age < 9 || score > 0.5)`).Tree.Simple() {
		t.Error("rows are for rows only")
	}
	for _, bad := range []string{
		`{}`, `{"all":[]}`, `{"ask":"age"}`, `{"ask":"age","op":">","number":7.5}`, `{"ask":"age","op":"~","number":7}`, `{"ask":"group"}`,
		`{"ask":"received","values":["meal"]}`, `{"ask":"weather","values":["sun"]}`, `{"ask":"age","op":">","number":7,"all":[{"ask":"age","op":">","number":7}]}`,
		`{"ask":"today","op":"<","date":"soon"}`, `{"ask":"others","op":"<","number":1,"days":3}`, `{"ask":"score","op":">","number":1e300}`,
	} {
		tree = eligibility.Tree{}
		if err := json.Unmarshal([]byte(bad), &tree); err != nil {
			t.Fatal(err)
		}
		var fault *eligibility.Fault
		if r, err := eligibility.FromTree(tree); !errors.As(err, &fault) || fault.ZH == "" {
			t.Errorf("%s gives %v, %v", bad, r, err)
		}
	}
}

// What cannot be said, or takes too long, is refused when it is saved, with its
// place.
func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expr, en     string
		line, column int
	}{
		{"", "empty", 0, 0},
		{"age >", "cannot be read", 1, 6},
		{"age >= 70 &&\n  weather == 1", "not known", 2, 3},
		{"age >= \"70\"", "do not fit", 1, 5},
		{"score > 1", "do not fit", 1, 7},
		{"age + 1 > 70", "not known", 1, 5},
		{"groups.exists(g, g == \"elderly\")", "not known", 1, 14},
		{"[1,2].all(x, x > 0)", "not known", 1, 10},
		{"age > 70 ? true : false", "not known", 1, 10},
		{"true", "condition is wanted", 1, 1},
		{"age", "condition is wanted", 1, 1},
		{"age > household_size", "Compare with", 1, 5},
		{"age > 700", "0 to 150", 1, 7},
		{"score >= 60.0", "0 to 1", 1, 10},
		{"today > \"1 December\"", "Write dates", 1, 9},
		{"division == \"330502000000\"", "startsWith", 1, 10},
		{"division.startsWith(\"33050\")", "first 2, 4, 6 or 9", 1, 21},
		{"received.within(\"meal\", 0)", "1 to 366", 1, 25},
		{"received.within(\"meal\", age)", "Name the kind", 1, 16},
		{"received.others([], 3) < 1", "Name the offers", 1, 16},
		{"received == received", "", 1, 10},
		{"\"martian\" in groups", "no group", 0, 0},
		{"\"child\" in health", "no condition of health", 0, 0},
		{"received.within(\"gold\", 7)", "no kind, offer or set", 0, 0},
		{"received.within(\"#\", 7)", "no kind, offer or set", 0, 0},
		{"age > 1" + strings.Repeat(" && age > 1", 300), "too long", 0, 0},
		{strings.Repeat("!(", 200) + "age > 1" + strings.Repeat(")", 200), "deeply", 0, 0},
		{"age > 1" + strings.Repeat(" && received.within(\"meal\", 7)", 40), "too long to decide", 0, 0},
	} {
		r, err := eligibility.Parse(c.expr)
		if err == nil {
			err = r.Check(names())
		}
		var fault *eligibility.Fault
		if !errors.As(err, &fault) {
			if c.en != "" {
				t.Errorf("%.60q: %v, want a fault %q", c.expr, err, c.en)
			}
			continue
		}
		if !strings.Contains(fault.EN, c.en) || fault.ZH == "" || fault.Line != c.line || fault.Line > 0 && fault.Column != c.column {
			t.Errorf("%.60q: %+v, want %q at %d:%d", c.expr, fault, c.en, c.line, c.column)
		}
	}
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	had := func(rs ...eligibility.Receipt) *eligibility.Received {
		return &eligibility.Received{Today: 100, For: "mine", Had: rs}
	}
	person := func(change func(*eligibility.Facts)) eligibility.Facts {
		f := eligibility.Facts{
			Age: 75, Groups: []string{"disabled", "elderly"}, Division: "330502001003", Score: .6, Household: 1, Today: "2026-12-01", Received: had(),
		}
		if change != nil {
			change(&f)
		}
		return f
	}
	meal := eligibility.Receipt{Offer: "m", Category: "meal", Sets: []string{"冬季救助"}, Day: 94}
	const lonely = `age > 70 && household_size == 1 && !received.within("meal", 7)`
	for _, c := range []struct {
		what, expr string
		facts      eligibility.Facts
		want       eligibility.Answer
		failed     []int
	}{
		{"all hold", lonely, person(nil), eligibility.Yes, nil},
		{"too young", lonely, person(func(f *eligibility.Facts) { f.Age = 70 }), eligibility.No, []int{0}},
		{"a meal six days ago", lonely, person(func(f *eligibility.Facts) { f.Received = had(meal) }), eligibility.No, []int{2}},
		{"a meal seven days ago", lonely, person(func(f *eligibility.Facts) { f.Received = had(meal); f.Received.Today = 101 }), eligibility.Yes, nil},
		{"nobody knows the age", lonely, person(func(f *eligibility.Facts) { f.Age = -1 }), eligibility.Unknown, []int{0}},
		{"only expected", lonely, person(func(f *eligibility.Facts) { f.Household, f.Received = 0, nil }), eligibility.Unknown, []int{1, 2}},
		{"only expected, and too young", lonely, person(func(f *eligibility.Facts) { f.Age, f.Household, f.Received = 3, 0, nil }), eligibility.No, []int{0}},
		{"what is not known does not matter", `age > 70 || "disabled" in health`, person(func(f *eligibility.Facts) { f.Age = -1 }), eligibility.Yes, nil},
		{"health", `"disabled" in health && !("serious_illness" in health)`, person(nil), eligibility.Yes, nil},
		{"the division", `division.startsWith("330502001")`, person(nil), eligibility.Yes, nil},
		{"another division", `division.startsWith("330502002")`, person(nil), eligibility.No, []int{0}},
		{"the date", `today >= "2026-12-01" && today < "2027-03-01"`, person(nil), eligibility.Yes, nil},
		{"the score", `score > 0.6`, person(nil), eligibility.No, []int{0}},
		{"one other of the set", `received.others(["#冬季救助"], 30) < 1`, person(func(f *eligibility.Facts) { f.Received = had(meal) }), eligibility.No, []int{0}},
		{"the same offer twice is one", `received.others(["meal"], 30) <= 1`, person(func(f *eligibility.Facts) { f.Received = had(meal, meal) }), eligibility.Yes, nil},
		{"itself is no other", `received.others(["#冬季救助"], 30) < 1`, person(func(f *eligibility.Facts) { f.Received = had(meal); f.Received.For = "m" }), eligibility.Yes, nil},
	} {
		got, failed, err := parse(t, c.expr).Decide(c.facts)
		if err != nil || got != c.want || !cmp.Equal(failed, c.failed) {
			t.Errorf("%s: %v, failed %v, %v; want %v, %v", c.what, got, failed, err, c.want, c.failed)
		}
	}
}

// Whatever is typed, the rule either is refused with words or says what it does,
// and reads back as itself.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`age > 70 && household_size == 1 && !received.within("meal", 7)`, `("elderly" in groups || "disabled" in health) && score >= 0.6`,
		`!(division.startsWith("3305") || received.others(["#a-b", "o1"], 30) < 2)`, `today >= "2026-12-01"`, `age > `, `((((`, `"\u0000" in groups`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		r, err := eligibility.Parse(expr)
		if err != nil {
			var fault *eligibility.Fault
			if !errors.As(err, &fault) || fault.ZH == "" || fault.EN == "" {
				t.Fatalf("%q is refused with %v", expr, err)
			}
			return
		}
		again, err := eligibility.Parse(r.Expr)
		if err != nil || again.Expr != r.Expr || !cmp.Equal(r.Tree, again.Tree) {
			t.Fatalf("%q is written %q, which reads %v, %v", expr, r.Expr, again, err)
		}
		if _, _, err := r.Decide(eligibility.Facts{Age: -1}); err != nil {
			t.Fatalf("%q cannot be decided: %v", expr, err)
		}
	})
}
