// Package accounts knows who acts: accounts with a role and a division, their
// sessions, residents' sessions, and service tokens for programs.
//
// Nothing that lets anybody in is stored or logged: passwords are argon2id
// hashes, cookies and tokens are SHA-256 hashes of 256 random bits.
package accounts

import (
	"errors"
	"fmt"
	"time"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
)

// Errors that callers tell apart.
var (
	// ErrCredentials says that username and password do not belong together,
	// or that the account is disabled; it does not say which.
	ErrCredentials = errors.New("username or password is wrong")
	// ErrLocked says that too many sign-ins failed; see [LockedError].
	ErrLocked = errors.New("too many failed sign-ins")
	// ErrNoSession says that a cookie belongs to no living session.
	ErrNoSession = errors.New("not signed in")
	// ErrToken says that a service token is unknown, over or revoked. It is
	// an [ErrNoSession] too.
	ErrToken = fmt.Errorf("unknown, expired or revoked service token: %w", ErrNoSession)
	// ErrPassword says that a password cannot be used.
	ErrPassword = errors.New("the password cannot be used")
	// ErrUsername says that a username cannot be used.
	ErrUsername = errors.New("the username cannot be used")
	// ErrName says that a display name or a label cannot be used.
	ErrName = errors.New("the name cannot be used")
	// ErrRole says that a role does not exist or does not go with the division
	// and the organisation it was given.
	ErrRole = errors.New("the role does not fit")
	// ErrTTL says that a service token would live too short or too long.
	ErrTTL = errors.New("the lifetime is out of range")
	// ErrLang says that a language is neither zh nor en.
	ErrLang = errors.New("the language is zh or en")
)

// FieldError says which field of a form or request is wrong, and what to do
// about it, in both languages. It never repeats what was entered.
type FieldError struct {
	Field string // JSON name
	ZH    string
	EN    string
	Err   error // one of the sentinels of this package
}

func (e FieldError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.EN) }

func (e FieldError) Unwrap() error { return e.Err }

// LockedError is an [ErrLocked] that says until when.
type LockedError struct{ Until time.Time }

func (e LockedError) Error() string {
	return fmt.Sprintf("%v, locked until %s", ErrLocked, e.Until.UTC().Format(time.RFC3339))
}

func (e LockedError) Unwrap() error { return ErrLocked }

// Role says what somebody may do; where, is said by the division or the
// organisation beside it.
type Role string

// The roles. A service token carries one of the first three.
const (
	Admin      Role = "admin"      // sees and decides all in the division
	Caseworker Role = "caseworker" // registers, scans, hands over in the division
	Provider   Role = "provider"   // acts for one organisation
	Resident   Role = "resident"   // is one resident
)

// Valid says whether r is one of the roles.
func (r Role) Valid() bool {
	switch r {
	case Admin, Caseworker, Provider, Resident:
		return true
	}
	return false
}

// Principal is who acts, as every request carries it.
type Principal struct {
	Account      string `json:"account"`      // account id, "resident:"+id, "carer:"+id or "token:"+id
	Role         Role   `json:"role"`         //
	Division     string `json:"division"`     // 12 digits; what lies in it may be seen
	Organisation string `json:"organisation"` // of a provider, exactly one
	Duty         Duty   `json:"duty"`         // of a provider, in the organisation
	Resident     string `json:"resident"`     // of a resident or a carer, the resident's id
	Carer        string `json:"carer"`        // of a carer, its id: shows the resident's code and does nothing else
	Name         string `json:"name"`         // what pages call this principal
	Lang         string `json:"lang"`         // zh or en
	Session      string `json:"-"`            // session id (not the cookie); "" with a token
	CSRF         string `json:"-"`            // what forms must carry; "" with a token
	Token        bool   `json:"token"`        // came with a service token
}

// Sees says whether this principal may look into the affairs of a division:
// administrators and caseworkers into their own and those below it, nobody
// else into any.
func (p Principal) Sees(division string) bool {
	return (p.Role == Admin || p.Role == Caseworker) && regions.Within(division, p.Division)
}

// Account is somebody who signs in with a password.
type Account struct {
	store.Meta   `bson:",inline"`
	Username     string `json:"username"` // lower case, unique
	PasswordHash string `json:"password_hash"`
	Role         Role   `json:"role"`
	Division     string `json:"division"`
	Organisation string `json:"organisation"` // of a provider
	Duty         Duty   `json:"duty"`         // of a provider
	DisplayName  string `json:"display_name"`
	Lang         string `json:"lang"`
	Disabled     bool   `json:"disabled"`
	// Epoch rises when password, role or state change; sessions of an earlier
	// epoch are dead.
	Epoch     int64  `json:"epoch"`
	CreatedMs int64  `json:"created_ms"`
	CreatedBy string `json:"created_by"`
	ChangedMs int64  `json:"changed_ms"` // when Epoch rose
	ChangedBy string `json:"changed_by"`
}

// NewAccount is what an account is made from.
type NewAccount struct {
	Username     string `json:"username"` // 2..64 letters, digits and . _ - @
	Password     string `json:"password"` // 8..256 characters
	Role         Role   `json:"role"`     // not resident
	Division     string `json:"division"` // required, but for a provider, which has none
	Organisation string `json:"organisation"`
	Duty         Duty   `json:"duty"` // of a provider; empty: owner
	DisplayName  string `json:"display_name"`
	Lang         string `json:"lang"` // zh if empty
}

// Session is somebody signed in. Its id is the SHA-256 of the cookie's value.
type Session struct {
	store.Meta `bson:",inline"`
	Account    string `json:"account"`  // "" for a resident
	Resident   string `json:"resident"` // "" for an account
	Carer      string `json:"carer"`    // of the resident, who signed in for them; "" otherwise
	Epoch      int64  `json:"epoch"`    // of the account when it began
	CSRF       string `json:"csrf"`
	Lang       string `json:"lang"` // of a resident
	CreatedMs  int64  `json:"created_ms"`
	ExpiresMs  int64  `json:"expires_ms"`
}

// ServiceToken lets a program in. Its id is the SHA-256 of the token.
type ServiceToken struct {
	store.Meta   `bson:",inline"`
	Label        string `json:"label"`
	Role         Role   `json:"role"`
	Division     string `json:"division"`
	Organisation string `json:"organisation"`
	Duty         Duty   `json:"duty"`
	CreatedMs    int64  `json:"created_ms"`
	CreatedBy    string `json:"created_by"`
	ExpiresMs    int64  `json:"expires_ms"`
	Revoked      bool   `json:"revoked"`
	RevokedMs    int64  `json:"revoked_ms"`
	RevokedBy    string `json:"revoked_by"`
}

// NewToken is what a service token is made from.
type NewToken struct {
	Label        string        `json:"label"` // what it is for, 1..100 characters
	Role         Role          `json:"role"`  // not resident
	Division     string        `json:"division"`
	Organisation string        `json:"organisation"`
	Duty         Duty          `json:"duty"` // of a provider; empty: editor
	TTL          time.Duration `json:"ttl"`  // 1 minute..366 days; 0: 90 days
}

// attempts counts the sign-ins under one username that have not succeeded,
// whether such an account exists or not: one document for each network they
// came from, and one for all of them. Its id is a hash of the username and the
// network.
type attempts struct {
	store.Meta    `bson:",inline"`
	Failures      int64 `json:"failures"`
	LockedUntilMs int64 `json:"locked_until_ms"`
	ForgottenMs   int64 `json:"forgotten_ms"` // when the count begins anew
}

func accountsSchema() store.Schema {
	return store.Schema{Name: "accounts", Indexes: []store.Index{
		{Name: "username", Fields: []string{"username"}, Unique: true},
		{Name: "organisation", Fields: []string{"organisation"}},
	}}
}

func sessionsSchema() store.Schema {
	return store.Schema{Name: "sessions", Indexes: []store.Index{
		{Name: "expires", Fields: []string{"expires_ms"}},
		{Name: "account", Fields: []string{"account"}},
		{Name: "resident", Fields: []string{"resident"}},
	}}
}

func tokensSchema() store.Schema {
	return store.Schema{Name: "service_tokens", Indexes: []store.Index{
		{Name: "organisation", Fields: []string{"organisation"}},
	}}
}

func attemptsSchema() store.Schema {
	return store.Schema{Name: "signin_attempts", Indexes: []store.Index{
		{Name: "forgotten", Fields: []string{"forgotten_ms"}},
	}}
}

// Schemas declares the collections of this package.
func Schemas() []store.Schema {
	return []store.Schema{accountsSchema(), sessionsSchema(), tokensSchema(), attemptsSchema()}
}
