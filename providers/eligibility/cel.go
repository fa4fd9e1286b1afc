package eligibility

import (
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Rule is a checked expression, ready to decide. It never changes, and is safe
// for concurrent use.
type Rule struct {
	Expr  string // as [Tree.CEL] writes it
	Tree  Tree
	Reads Reads
	parts []cel.Program // of the tree's conjuncts
}

// The names of the facts in an expression.
const (
	varAge       = "age"
	varGroups    = "groups"
	varHealth    = "health"
	varDivision  = "division"
	varScore     = "score"
	varHousehold = "household_size"
	varReceived  = "received"
	varToday     = "today"
)

const receivedType = "received"

// environment is CEL with our facts, and of its functions only those for which
// there is a sentence: no macro, no arithmetic, no conversion, no clock.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	received := cel.OpaqueType(receivedType)
	subset := env.NewLibrarySubset().SetDisableMacros(true).AddIncludedFunctions(
		env.NewFunction(operators.LogicalAnd), env.NewFunction(operators.LogicalOr), env.NewFunction(operators.LogicalNot),
		env.NewFunction(operators.Equals), env.NewFunction(operators.NotEquals),
		env.NewFunction(operators.Less), env.NewFunction(operators.LessEquals),
		env.NewFunction(operators.Greater), env.NewFunction(operators.GreaterEquals),
		env.NewFunction(operators.In), env.NewFunction("startsWith"),
	)
	return cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(subset)),
		cel.ParserExpressionSizeLimit(MaxRunes), cel.ParserRecursionLimit(2*maxDepth), cel.ExpressionNodeLimit(maxNodes),
		cel.Variable(varAge, cel.IntType), cel.Variable(varGroups, cel.ListType(cel.StringType)),
		cel.Variable(varHealth, cel.ListType(cel.StringType)), cel.Variable(varDivision, cel.StringType),
		cel.Variable(varScore, cel.DoubleType), cel.Variable(varHousehold, cel.IntType),
		cel.Variable(varReceived, received), cel.Variable(varToday, cel.StringType),
		cel.Function("within", cel.MemberOverload("received_within", []*cel.Type{received, cel.StringType, cel.IntType}, cel.BoolType,
			cel.FunctionBinding(func(args ...ref.Val) ref.Val {
				return types.Bool(args[0].(receipts).within(string(args[1].(types.String)), int64(args[2].(types.Int))))
			}))),
		cel.Function("others", cel.MemberOverload("received_others", []*cel.Type{received, cel.ListType(cel.StringType), cel.IntType}, cel.IntType,
			cel.FunctionBinding(func(args ...ref.Val) ref.Val {
				keys, err := args[1].ConvertToNative(stringsType)
				if err != nil {
					return types.WrapErr(err)
				}
				return types.Int(args[0].(receipts).others(keys.([]string), int64(args[2].(types.Int))))
			}))),
	)
})

// Parse checks an expression: that it is CEL, typed, within the limits and in
// the part of the language for which there is a sentence. What it names is
// checked by [Rule.Check].
//
// Errors: [*Fault].
func Parse(expr string) (*Rule, error) {
	e, err := environment()
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(expr) == "" {
		return nil, &Fault{ZH: "规则为空，请填写条件，或整条删去。", EN: "The rule is empty: write a condition, or remove it."}
	}
	checked, issues := e.Compile(expr)
	if issues.Err() != nil {
		return nil, faultOf(issues.Errors()[0])
	}
	p := parser{info: checked.NativeRep().SourceInfo()}
	tree, fault := p.tree(checked.NativeRep().Expr(), 0)
	if fault != nil {
		return nil, fault
	}
	return compile(e, tree)
}

// FromTree makes a rule of what a form has built. Errors: [*Fault].
func FromTree(t Tree) (*Rule, error) {
	text, fault := t.write()
	if fault != nil {
		return nil, fault
	}
	return Parse(text)
}

// compile compiles the conjuncts one by one, so that a refusal can name those
// that do not hold.
func compile(e *cel.Env, tree Tree) (*Rule, error) {
	text, fault := tree.write()
	if fault != nil {
		return nil, fault
	}
	r := &Rule{Expr: text, Tree: tree, Reads: tree.reads()}
	var total uint64
	for _, part := range tree.conjuncts() {
		text, fault := part.write()
		if fault != nil {
			return nil, fault
		}
		checked, issues := e.Compile(text)
		if issues.Err() != nil {
			return nil, faultOf(issues.Errors()[0])
		}
		estimate, err := e.EstimateCost(checked, sizes{})
		if err != nil {
			return nil, err
		}
		if total += estimate.Max; total > maxCost || estimate.Max > maxCost {
			return nil, &Fault{ZH: "规则计算量过大，请减少条件。", EN: "The rule takes too long to decide: use fewer conditions."}
		}
		program, err := e.Program(checked, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptPartialEval))
		if err != nil {
			return nil, err
		}
		r.parts = append(r.parts, program)
	}
	return r, nil
}

// sizes is how long the facts can be, for the estimate.
type sizes struct{}

func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if path := n.Path(); len(path) > 0 {
		switch path[0] {
		case varGroups, varHealth:
			return &cost.SizeEstimate{Min: 0, Max: 20}
		case varDivision, varToday:
			return &cost.SizeEstimate{Min: 10, Max: 12}
		}
	}
	return nil
}

// EstimateCallCost: what was received is looked through once for each key; a
// household has at most a few hundred entries.
func (sizes) EstimateCallCost(function, _ string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	if function == "within" || function == "others" {
		return &cost.CallEstimate{CostEstimate: cost.Estimate{Min: 1, Max: 50}}
	}
	return nil
}

// faultOf puts an error of CEL's into words.
func faultOf(err *cel.Error) *Fault {
	f := &Fault{Line: err.Location.Line(), Column: err.Location.Column() + 1}
	what := err.Message
	switch {
	case strings.Contains(what, "size exceeds limit"), strings.Contains(what, "node limit"), strings.Contains(what, "node count"):
		return &Fault{ZH: "规则过长，请缩短。", EN: "The rule is too long: shorten it."}
	case strings.Contains(what, "recursion limit"), strings.Contains(what, "nesting depth"):
		return &Fault{ZH: "规则嵌套过深，请拆开。", EN: "The rule is nested too deeply: take it apart."}
	case strings.Contains(what, "undeclared reference"):
		f.ZH = "不认识这个名称。可用：age、groups、health、division、score、household_size、received、today，以及 && || ! == != < <= > >= in、startsWith、within、others。"
		f.EN = "This name is not known. There are age, groups, health, division, score, household_size, received and today, with && || ! == != < <= > >= in, startsWith, within and others."
	case strings.Contains(what, "no matching overload"):
		f.ZH = "两边的类型不合：年龄和人数是整数，评分是小数（如 0.6），人群和日期是带引号的文字。"
		f.EN = "The two sides do not fit: age and household_size are whole numbers, score has a decimal point (0.6), groups and dates are quoted."
	case strings.HasPrefix(what, "Syntax error"):
		f.ZH = "此处写法有误，请检查引号、括号和 && ||。"
		f.EN = "It cannot be read here: check quotes, brackets, && and ||."
	default:
		f.ZH, f.EN = "此处不能用在规则里。", "This cannot be used in a rule."
	}
	return f
}

// parser reads the checked syntax tree back as a [Tree].
type parser struct{ info *ast.SourceInfo }

func (p parser) fault(e ast.Expr, zh, en string) *Fault {
	at := p.info.GetStartLocation(e.ID())
	return &Fault{Line: at.Line(), Column: at.Column() + 1, ZH: zh, EN: en}
}

func (p parser) tree(e ast.Expr, depth int) (Tree, *Fault) {
	if depth > maxDepth {
		return Tree{}, p.fault(e, "规则嵌套过深，请拆开。", "The rule is nested too deeply: take it apart.")
	}
	if e.Kind() != ast.CallKind {
		return Tree{}, p.fault(e, "这里要写一个条件，例如 age >= 70。", "A condition is wanted here, such as age >= 70.")
	}
	call := e.AsCall()
	switch call.FunctionName() {
	case operators.LogicalAnd, operators.LogicalOr:
		var parts []Tree
		for _, arg := range call.Args() {
			part, fault := p.tree(arg, depth+1)
			if fault != nil {
				return Tree{}, fault
			}
			parts = append(parts, part)
		}
		if call.FunctionName() == operators.LogicalAnd {
			return allOf(parts), nil
		}
		return anyOf(parts), nil
	case operators.LogicalNot:
		inner, fault := p.tree(call.Args()[0], depth+1)
		if fault != nil {
			return Tree{}, fault
		}
		if inner.Not != nil {
			return *inner.Not, nil
		}
		return Tree{Not: &inner}, nil
	case operators.In:
		return p.in(e, call)
	case "startsWith":
		return p.lives(e, call)
	case "within":
		return p.received(e, call)
	}
	return p.compared(e, call)
}

// allOf puts conditions together, without needless nesting.
func allOf(parts []Tree) Tree {
	var out []Tree
	for _, x := range parts {
		if len(x.All) > 0 {
			out = append(out, x.All...)
		} else {
			out = append(out, x)
		}
	}
	return Tree{All: out}
}

// anyOf also makes one condition of those that ask the same of several values.
func anyOf(parts []Tree) Tree {
	var out []Tree
	for _, x := range parts {
		for _, y := range append(slices.Clone(x.Any), only(x)...) {
			i := slices.IndexFunc(out, func(z Tree) bool { return z.listed() && z.Ask == y.Ask && z.Days == y.Days })
			if i < 0 {
				out = append(out, y)
				continue
			}
			for _, v := range y.Values {
				if !slices.Contains(out[i].Values, v) {
					out[i].Values = append(slices.Clip(out[i].Values), v)
				}
			}
		}
	}
	if len(out) == 1 {
		return out[0]
	}
	return Tree{Any: out}
}

func only(x Tree) []Tree {
	if len(x.Any) > 0 {
		return nil
	}
	return []Tree{x}
}

// listed says whether it is a condition that asks for one of several values.
func (t Tree) listed() bool {
	switch t.Ask {
	case AskGroup, AskHealth, AskDivision, AskReceived:
		return true
	}
	return false
}

// in is "elderly" in groups.
func (p parser) in(e ast.Expr, call ast.CallExpr) (Tree, *Fault) {
	value, isText := text(call.Args()[0])
	if !isText || call.Args()[1].Kind() != ast.IdentKind {
		return Tree{}, p.fault(e, "请写成 \"elderly\" in groups 或 \"disabled\" in health。", "Write \"elderly\" in groups, or \"disabled\" in health.")
	}
	switch call.Args()[1].AsIdent() {
	case varGroups:
		return Tree{Ask: AskGroup, Values: []string{value}}, nil
	default:
		return Tree{Ask: AskHealth, Values: []string{value}}, nil
	}
}

// lives is division.startsWith("330502").
func (p parser) lives(e ast.Expr, call ast.CallExpr) (Tree, *Fault) {
	prefix, isText := text(call.Args()[0])
	if !isText || call.Target().Kind() != ast.IdentKind || call.Target().AsIdent() != varDivision {
		return Tree{}, p.fault(e, "请写成 division.startsWith(\"330502\")。", "Write division.startsWith(\"330502\").")
	}
	if !slices.Contains([]int{2, 4, 6, 9, 12}, len(prefix)) || strings.Trim(prefix, "0123456789") != "" {
		return Tree{}, p.fault(call.Args()[0], "区划代码取前 2、4、6、9 位或全部 12 位数字。", "Give the first 2, 4, 6 or 9 digits of a division's code, or all 12.")
	}
	return Tree{Ask: AskDivision, Values: []string{prefix + strings.Repeat("0", 12-len(prefix))}}, nil
}

// received is received.within("meal", 7).
func (p parser) received(e ast.Expr, call ast.CallExpr) (Tree, *Fault) {
	key, isText := text(call.Args()[0])
	days, isWhole := whole(call.Args()[1])
	if !isText || !isWhole {
		return Tree{}, p.fault(e, "请写明类别和天数，例如 received.within(\"meal\", 7)。", "Name the kind and the days, as in received.within(\"meal\", 7).")
	}
	if days < 1 || days > MaxDays {
		return Tree{}, p.fault(call.Args()[1], "天数应为 1 至 366。", "The days are 1 to 366.")
	}
	return Tree{Ask: AskReceived, Values: []string{key}, Days: days}, nil
}

// others is received.others(["meal", "#winter"], 30).
func (p parser) others(e ast.Expr) (Tree, *Fault) {
	call := e.AsCall()
	days, isWhole := whole(call.Args()[1])
	list := call.Args()[0]
	if !isWhole || list.Kind() != ast.ListKind || list.AsList().Size() == 0 {
		return Tree{}, p.fault(e, "请写明资源和天数，例如 received.others([\"#冬季救助\"], 30) < 2。", "Name the offers and the days, as in received.others([\"#winter\"], 30) < 2.")
	}
	if days < 1 || days > MaxDays {
		return Tree{}, p.fault(call.Args()[1], "天数应为 1 至 366。", "The days are 1 to 366.")
	}
	t := Tree{Ask: AskOthers, Days: days}
	for _, x := range list.AsList().Elements() {
		key, isText := text(x)
		if !isText {
			return Tree{}, p.fault(x, "这里要写带引号的类别、资源编号或组合名。", "A quoted category, offer or set is wanted here.")
		}
		if !slices.Contains(t.Values, key) {
			t.Values = append(t.Values, key)
		}
	}
	if len(t.Values) > maxKeys {
		return Tree{}, p.fault(list, "一个条件最多列出 20 项。", "A condition names at most 20.")
	}
	return t, nil
}

var flipped = map[string]string{"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// compared is a fact beside a literal, on either side.
func (p parser) compared(e ast.Expr, call ast.CallExpr) (Tree, *Fault) {
	op := strings.Trim(call.FunctionName(), "_")
	left, right := call.Args()[0], call.Args()[1]
	if left.Kind() == ast.LiteralKind {
		left, right, op = right, left, flipped[op]
	}
	if right.Kind() != ast.LiteralKind {
		return Tree{}, p.fault(e, "请与一个确定的数或日期比较，例如 age >= 70。", "Compare with a number or a date, as in age >= 70.")
	}
	t := Tree{Op: op}
	switch {
	case left.Kind() == ast.CallKind && left.AsCall().FunctionName() == "others":
		others, fault := p.others(left)
		if fault != nil {
			return Tree{}, fault
		}
		others.Op = op
		t = others
	case left.Kind() == ast.IdentKind && left.AsIdent() == varAge:
		t.Ask = AskAge
	case left.Kind() == ast.IdentKind && left.AsIdent() == varHousehold:
		t.Ask = AskHousehold
	case left.Kind() == ast.IdentKind && left.AsIdent() == varScore:
		t.Ask = AskScore
	case left.Kind() == ast.IdentKind && left.AsIdent() == varToday:
		t.Ask = AskToday
	case left.Kind() == ast.IdentKind && left.AsIdent() == varDivision:
		return Tree{}, p.fault(e, "区划请写成 division.startsWith(\"330502\")。", "For divisions write division.startsWith(\"330502\").")
	default:
		return Tree{}, p.fault(e, "这个比较没有对应的说法，请改用 age、score、household_size、today 或 received。", "There is no sentence for this comparison: use age, score, household_size, today or received.")
	}
	switch v := right.AsLiteral().(type) {
	case types.Int:
		t.Number = float64(v)
	case types.Double:
		t.Number = float64(v)
	case types.String:
		t.Date = string(v)
	}
	return t, p.bounds(right, t)
}

// bounds refuses figures that nobody can mean.
func (p parser) bounds(at ast.Expr, t Tree) *Fault {
	if f := t.bounds(); f != nil {
		return p.fault(at, f.ZH, f.EN)
	}
	return nil
}

// bounds says what is wrong with the figure or the date that is compared with.
func (t Tree) bounds() *Fault {
	most := map[string]float64{AskAge: 150, AskHousehold: 50, AskOthers: maxKeys, AskScore: 1}
	if t.Ask == AskToday {
		if day, err := time.Parse(time.DateOnly, t.Date); err != nil || day.Year() < 2000 || day.Year() > 2100 {
			return &Fault{ZH: "日期请写成 \"2026-12-01\" 这样。", EN: "Write dates like \"2026-12-01\"."}
		}
		return nil
	}
	if n := most[t.Ask]; !(t.Number >= 0 && t.Number <= n) {
		return map[string]*Fault{
			AskAge:       {ZH: "年龄应为 0 至 150。", EN: "An age is 0 to 150."},
			AskHousehold: {ZH: "人数应为 0 至 50。", EN: "A household has 0 to 50 members."},
			AskOthers:    {ZH: "项数应为 0 至 20。", EN: "The count is 0 to 20."},
			AskScore:     {ZH: "评分应为 0 至 1，例如 0.6。", EN: "A score is 0 to 1, such as 0.6."},
		}[t.Ask]
	}
	return nil
}

func text(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

func whole(e ast.Expr) (int64, bool) {
	if e.Kind() != ast.LiteralKind {
		return 0, false
	}
	n, ok := e.AsLiteral().(types.Int)
	return int64(n), ok
}

func nameRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_' }
