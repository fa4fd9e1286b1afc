package residents

import (
	"slices"

	"github.com/xingfuma/happycode/app/store"
)

// Status says whether a resident is served here.
type Status string

// The states of a resident.
const (
	Active   Status = "active"
	Moved    Status = "moved"
	Deceased Status = "deceased"
)

// Household is the people whose caps count together.
type Household struct {
	store.Meta `bson:",inline"`
	Division   string `json:"division"` // 12-digit code
	County     string `json:"county"`   // 12-digit code
	CreatedMs  int64  `json:"created_ms"`
	CreatedBy  string `json:"created_by"`
}

// What a resident may consent to.
const (
	ConsentMatching = "matching"          // needs are matched with offers
	ConsentHandover = "provider_handover" // a provider learns what the handover needs
	ConsentSMS      = "sms"               // text messages say what became of needs that wait
	ConsentDelivery = "delivery"          // who brings aid home learns name, phone and address
)

// Consents are all that a resident may consent to.
func Consents() []string {
	return []string{ConsentMatching, ConsentHandover, ConsentSMS, ConsentDelivery}
}

// Consent is what a resident agreed to, when, and who wrote it down.
type Consent struct {
	AtMs  int64    `json:"at_ms"`
	By    string   `json:"by"`
	Scope []string `json:"scope,omitempty"` // of [Consents]
}

// Allows says whether the consent covers scope.
func (c Consent) Allows(scope string) bool { return slices.Contains(c.Scope, scope) }

// Resident is a person in need as stored: whatever names the person is sealed.
// Its id is derived from the ID number with a secret key, so that nobody is
// registered twice and nobody can guess it.
type Resident struct {
	store.Meta       `bson:",inline"`
	Household        string   `json:"household"`
	Division         string   `json:"division"` // 12-digit code
	County           string   `json:"county"`   // 12-digit code
	NameSealed       string   `json:"name_sealed"`
	IDNumberSealed   string   `json:"id_number_sealed"`
	PhoneSealed      string   `json:"phone_sealed"`
	AddressSealed    string   `json:"address_sealed,omitempty"` // where aid is brought
	IDIndex          string   `json:"id_index"`                 // blind index of the ID number; "none:"+id without one
	BirthYear        int      `json:"birth_year"`               // 0: unknown
	Groups           []string `json:"groups,omitempty"`         // ids of [Groups]
	ScoreMilli       int64    `json:"score_milli"`              // multidimensional score, 0..1000
	Consent          Consent  `json:"consent"`
	PINHash          string   `json:"pin_hash"` // "": no PIN set
	PINFailures      int      `json:"pin_failures"`
	PINLockedUntilMs int64    `json:"pin_locked_until_ms"`
	Code             string   `json:"code"`    // id of the current happiness code
	CardNo           string   `json:"card_no"` // of the current code
	Codes            int64    `json:"codes"`   // how many were issued so far
	// Carers are those who may show a code for the resident now or could
	// lately; whoever is not named here may not.
	Carers    []CarerPlace `json:"carers,omitempty"`
	CreatedMs int64        `json:"created_ms"`
	CreatedBy string       `json:"created_by"`
	Status    Status       `json:"status"`
}

// CodeStatus says whether a happiness code is accepted.
type CodeStatus string

// The states of a code.
const (
	CodeActive  CodeStatus = "active"
	CodeRevoked CodeStatus = "revoked"
)

// Why says why a code was revoked or a carer's time ended.
type Why string

// The reasons. The last three are not chosen but follow.
const (
	WhyLost     Why = "lost"
	WhyStolen   Why = "stolen"
	WhyDamaged  Why = "damaged"
	WhyUnneeded Why = "unneeded" // of carers: no longer needed
	WhyOther    Why = "other"
	WhyEnded    Why = "ended" // of a carer's code: the carer's time was ended
	WhyMoved    Why = "moved"
	WhyDeceased Why = "deceased"
)

// CodeReasons are the reasons to revoke a resident's code.
func CodeReasons() []Why { return []Why{WhyLost, WhyStolen, WhyDamaged, WhyOther} }

// CarerReasons are the reasons to end a carer's time.
func CarerReasons() []Why { return []Why{WhyUnneeded, WhyLost, WhyStolen, WhyOther} }

// of refuses a reason that is none of those. Errors: [FieldError].
func (w Why) of(reasons []Why) error {
	if !slices.Contains(reasons, w) {
		return &FieldError{"reason", "请选择原因", "choose a reason"}
	}
	return nil
}

// Code is an issued happiness code. Its id is the token's code id, 20 hex
// digits. A code counts only while its resident names it as the current one,
// or while its carer may show it.
type Code struct {
	store.Meta   `bson:",inline"`
	Resident     string     `json:"resident"`
	Carer        string     `json:"carer"`   // id of the [Carer] whose it is; "": the resident's own
	CardNo       string     `json:"card_no"` // 12 digits, unique
	Status       CodeStatus `json:"status"`
	IssuedMinute uint32     `json:"issued_minute"` // of the card, Unix time / 60 s; see [Service.Token]
	IssuedMs     int64      `json:"issued_ms"`     // of the code; 0 in codes of before this was kept
	IssuedBy     string     `json:"issued_by"`
	RevokedMs    int64      `json:"revoked_ms"` // 0: not revoked
	RevokedBy    string     `json:"revoked_by"`
	RevokedWhy   Why        `json:"revoked_why"`
	SigningKey   byte       `json:"signing_key"` // id of the key that signs the card
}

// IssuedAtMs is when the code was issued, Unix ms.
func (c *Code) IssuedAtMs() int64 {
	if c.IssuedMs != 0 {
		return c.IssuedMs
	}
	return int64(c.IssuedMinute) * 60_000
}

// Person is a resident with the sealed fields opened. It is for showing to
// those who may see it, and is never stored or logged.
type Person struct {
	Resident *Resident
	Name     string
	IDNumber string // "" when there is none
	Phone    string // "" when there is none
	Address  string // "" when there is none
}

// Registration is what a caseworker writes down about a resident.
type Registration struct {
	Name       string   // 1..50 characters
	IDNumber   string   // 18 characters, GB 11643; "" for a person without one
	Phone      string   // optional
	Division   string   // 12-digit code, county or below
	Groups     []string // ids of [Groups]
	ScoreMilli int64    // 0..1000
	// Household joins the resident to a household of the same division: its
	// id, or a key of the office's own (a household register number) that the
	// first to use it creates. Empty: a household of one's own.
	Household string
	PIN       string   // 6..12 digits; "": none yet
	Consent   []string // of [Consents]
}

// Group is a circumstance that offers may ask for.
type Group struct{ ID, ZH, EN string }

// Groups lists the circumstances of people in need, in the order of the forms.
func Groups() []Group {
	return []Group{
		{"elderly", "老年人", "Elderly"},
		{"child", "儿童", "Child"},
		{"disabled", "残疾人", "Disabled"},
		{"jobless", "失业", "Jobless"},
		{"low_income", "低保", "Subsistence allowance"},
		{"near_poor", "低保边缘", "Near-poor"},
		{"extreme_poor", "特困", "Extreme hardship"},
		{"serious_illness", "大病", "Serious illness"},
		{"single_parent", "单亲", "Single parent"},
		{"left_behind", "留守", "Left behind"},
	}
}
