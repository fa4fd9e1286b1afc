package pages

// Form is what was typed into a page's form, and what is wrong with it.
type Form struct {
	Page
	Values  map[string][]string // as typed, by field
	Errors  map[string]string   // in the page's language, by field
	Failure string              // what is wrong with the whole, in the page's language
}

// Value is what stands in a field.
func (f Form) Value(field string) string {
	if v := f.Values[field]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// At is what stands in the field of row i, for fields that repeat.
func (f Form) At(field string, i int) string {
	if v := f.Values[field]; i < len(v) {
		return v[i]
	}
	return ""
}

// Chosen says whether a field holds the value.
func (f Form) Chosen(field, value string) bool {
	for _, v := range f.Values[field] {
		if v == value {
			return true
		}
	}
	return false
}

// Consents are what a resident may agree to, keys below "consent.".
func (Form) Consents() []string { return []string{"matching", "provider_handover", "sms", "delivery"} }

// Field is a labelled control.
type Field struct {
	ID, Name, Type, Label, Value, Error, Hint string
	Required                                  bool
	Options                                   []Option
	Groups                                    []OptionGroup
	Filter                                    string // label of a box to narrow the options by typing
	Attr                                      Attr
}

// OptionGroup is options under a common label.
type OptionGroup struct {
	Label   string
	Options []Option
}

// Attr are the rarer attributes of a control.
type Attr struct {
	Mode     string // inputmode
	Complete string // autocomplete
	Min, Max string
}

// Option is one entry of a select.
type Option struct {
	Value, Text string
	Chosen      bool
}

// Input is a field of a form: its name, the key of its label and its type. A
// hint stands in the catalogue under the label's key with "_hint".
func (f Form) Input(name, label, kind string) Field {
	out := Field{ID: "f-" + name, Name: name, Type: kind, Label: f.T(label), Value: f.Value(name), Error: f.Errors[name]}
	if f.Has(label + "_hint") {
		out.Hint = f.T(label + "_hint")
	}
	if kind == "password" {
		out.Value = ""
	}
	return out
}

// Need marks a field as one that has to be filled.
func (f Field) Need() Field { f.Required = true; return f }

// As says what keyboard suits the field and what a browser may fill in.
func (f Field) As(mode, complete string) Field {
	f.Attr.Mode, f.Attr.Complete = mode, complete
	return f
}

// Between limits a number or a date.
func (f Field) Between(low, high string) Field { f.Attr.Min, f.Attr.Max = low, high; return f }

// Or puts a value into a field that is empty.
func (f Field) Or(value string) Field {
	if f.Value == "" {
		f.Value = value
	}
	return f
}

// Select is a field to choose one of several.
func (f Form) Select(name, label string, choices []Choice) Field {
	out := f.Input(name, label, "select")
	for _, c := range choices {
		out.Options = append(out.Options, Option{c.Value, f.Say(c.Text), c.Value == out.Value})
	}
	return out
}

// Choose is a field to choose one of many, in groups, which the page's script
// lets narrow by typing. A field that is not required begins with a blank.
func (f Form) Choose(name, label, blank string, groups []ChoiceGroup) Field {
	out := f.Input(name, label, "select")
	out.Filter = f.T("form.filter")
	out.Options = []Option{{"", f.T(blank), out.Value == ""}}
	for _, g := range groups {
		og := OptionGroup{Label: g.Label}
		for _, c := range g.Choices {
			og.Options = append(og.Options, Option{c.Value, f.Say(c.Text), c.Value == out.Value})
		}
		out.Groups = append(out.Groups, og)
	}
	return out
}

// Numeric is a field for a number, of which some are typed with decimals.
func (f Field) Numeric() Field {
	f.Attr.Mode, f.Attr.Complete = "numeric", "off"
	if f.Type == "text" {
		f.Attr.Mode = "decimal"
	}
	return f
}

// Pick is Select with choices whose texts stand in the catalogue under prefix.
func (f Form) Pick(name, label, prefix string, values ...string) Field {
	out := f.Input(name, label, "select")
	for _, v := range values {
		out.Options = append(out.Options, Option{v, f.T(prefix + v), v == out.Value})
	}
	return out
}
