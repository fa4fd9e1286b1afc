package eligibility

import (
	"errors"
	"reflect"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Facts are what a rule may ask of a person. They name nobody.
type Facts struct {
	Age       int      // full years by the year of birth; -1: not recorded
	Groups    []string // ids
	Division  string   // 12-digit code
	Score     float64  // 0..1
	Household int      // registered members; 0: not looked up
	Today     string   // the date in China, e.g. 2026-12-01
	// Received is what the household was promised or given, for as far back as the
	// rule looks; nil: not looked up, as it is where somebody is only expected.
	Received *Received
}

// Received is what a household was promised or given.
type Received struct {
	Today int64     // number of the day
	For   string    // the offer that is decided on, which is none of the others
	Had   []Receipt // in any order
}

// Receipt is one thing that was promised or given.
type Receipt struct {
	Offer, Category string
	Sets            []string // names, without the prefix
	Day             int64    // of the promise, number of the day
}

// Is says whether a key names it.
func (r Receipt) Is(key string) bool {
	if len(key) > 0 && key[:1] == SetPrefix {
		return slices.Contains(r.Sets, key[1:])
	}
	return key == r.Category || key == r.Offer
}

// Health are the groups that say how somebody's health is.
func Health() []string { return []string{"disabled", "serious_illness"} }

// Answer is what a rule says to a person.
type Answer int

// The answers.
const (
	No      Answer = iota
	Yes            // it admits the person
	Unknown        // that depends on what was not looked up, or is not recorded
)

// Decide applies the rule. failed are the conjuncts ([Rule.Words]) that keep the
// person out, or of which nobody knows.
//
// Errors: CEL's, such as a cost above the limit; the answer is No then.
func (r *Rule) Decide(f Facts) (answer Answer, failed []int, err error) {
	vars := map[string]any{
		varAge: int64(f.Age), varGroups: f.Groups, varDivision: f.Division, varScore: f.Score,
		varHousehold: int64(f.Household), varToday: f.Today,
		varHealth: slices.DeleteFunc(slices.Clone(f.Groups), func(g string) bool { return !slices.Contains(Health(), g) }),
	}
	var missing []*cel.AttributePatternType
	if f.Age < 0 {
		missing = append(missing, cel.AttributePattern(varAge))
	}
	if f.Household == 0 {
		missing = append(missing, cel.AttributePattern(varHousehold))
	}
	if f.Received == nil {
		missing = append(missing, cel.AttributePattern(varReceived))
	} else {
		vars[varReceived] = receipts{f.Received}
	}
	known, err := cel.PartialVars(vars, missing...)
	if err != nil {
		return No, nil, err
	}
	answer = Yes
	for i, part := range r.parts {
		v, _, err := part.Eval(known)
		switch {
		case types.IsUnknown(v):
			if answer == Yes {
				answer = Unknown
			}
		case err != nil:
			return No, nil, err
		case v == types.True:
			continue
		default:
			answer = No
		}
		failed = append(failed, i)
	}
	if answer == No { // what is not known does not matter any more
		failed = slices.DeleteFunc(failed, func(i int) bool {
			v, _, _ := r.parts[i].Eval(known)
			return types.IsUnknown(v)
		})
	}
	return answer, failed, nil
}

// receipts are Received as CEL has it.
type receipts struct{ *Received }

func (r receipts) within(key string, days int64) bool {
	return slices.ContainsFunc(r.Had, func(x Receipt) bool { return x.Is(key) && r.Today-x.Day < days })
}

// others counts the offers.
func (r receipts) others(keys []string, days int64) int {
	offers := map[string]bool{}
	for _, x := range r.Had {
		if x.Offer != r.For && r.Today-x.Day < days && slices.ContainsFunc(keys, x.Is) {
			offers[x.Offer] = true
		}
	}
	return len(offers)
}

var (
	receiptsType = cel.OpaqueType(receivedType)
	stringsType  = reflect.TypeFor[[]string]()
	errConvert   = errors.New("what was received is not a value of its own")
)

// ConvertToNative, with those below, makes it a value of CEL's.
func (r receipts) ConvertToNative(reflect.Type) (any, error) { return nil, errConvert }

// ConvertToType refuses.
func (r receipts) ConvertToType(ref.Type) ref.Val { return types.WrapErr(errConvert) }

// Equal says whether it is the same.
func (r receipts) Equal(other ref.Val) ref.Val {
	o, ok := other.(receipts)
	return types.Bool(ok && o.Received == r.Received)
}

// Type is the type of the variable.
func (r receipts) Type() ref.Type { return receiptsType }

// Value is what it holds.
func (r receipts) Value() any { return r.Received }
