package app

import (
	"errors"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store"
)

type signinRequest struct {
	Username string `json:"username" required:"true"`
	Password string `json:"password" required:"true" format:"password"`
}

type residentSigninRequest struct {
	Code string `json:"code" required:"true" description:"Address or digits of the happiness code, or the 12-digit card number."`
	PIN  string `json:"pin" required:"true" format:"password"`
}

// meView is who is signed in.
type meView struct {
	Account      string        `json:"account"`
	Role         accounts.Role `json:"role" enum:"admin,caseworker,provider,resident"`
	Division     string        `json:"division" description:"12-digit code; what lies in it may be seen."`
	Organisation string        `json:"organisation"`
	Duty         accounts.Duty `json:"duty" enum:",owner,editor,handover" description:"Of a provider, in the organisation."`
	Resident     string        `json:"resident"`
	Carer        string        `json:"carer" description:"Id of the carer who signed in for the resident; may show the code and nothing else."`
	Name         string        `json:"name"`
	Lang         string        `json:"lang" enum:"zh,en"`
	Token        bool          `json:"token" description:"Came with a service token."`
	CSRF         string        `json:"csrf_token" description:"Send it as X-CSRF-Token with the session cookie; empty with a service token."`
}

func viewMe(p accounts.Principal) meView {
	return meView{p.Account, p.Role, p.Division, p.Organisation, p.Duty, p.Resident, p.Carer, p.Name, p.Lang, p.Token, p.CSRF}
}

func (a *App) createSession(c *fiber.Ctx) error {
	in, err := decode[signinRequest](c)
	if err != nil {
		return err
	}
	cookie, p, err := a.Accounts.SignIn(c.UserContext(), in.Username, in.Password, a.network(c))
	if err != nil {
		return err
	}
	a.setSession(c, cookie)
	return c.Status(fiber.StatusCreated).JSON(viewMe(p))
}

func (a *App) createResidentSession(c *fiber.Ctx) error {
	in, err := decode[residentSigninRequest](c)
	if err != nil {
		return err
	}
	p, err := a.signInResident(c, in.Code, in.PIN)
	if err != nil {
		return err
	}
	if old := c.Cookies(a.cookieName(c)); old != "" { // somebody else's, on a phone that went from hand to hand
		if err := a.Accounts.SignOut(c.UserContext(), old); err != nil {
			return err
		}
	}
	return c.Status(fiber.StatusCreated).JSON(viewMe(p))
}

// signInResident begins the session of a resident, or of a carer of theirs, who
// shows a code and knows its PIN. Every failure is answered as the same faultPIN, and an unknown code costs what
// a known one does.
func (a *App) signInResident(c *fiber.Ctx, code, pin string) (accounts.Principal, error) {
	ctx := c.UserContext()
	r, shown, err := a.Care.Identify(ctx, "sign_in", code)
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-ctx.Done():
		return accounts.Principal{}, ctx.Err()
	}
	if errors.Is(err, care.ErrUnknownCode) {
		return accounts.Principal{}, a.Residents.CheckPIN(ctx, "nobody", pin)
	}
	if err != nil {
		return accounts.Principal{}, err
	}
	if shown.Carer != "" {
		err = a.Residents.CheckCarerPIN(ctx, shown.Carer, pin)
	} else {
		err = a.Residents.CheckPIN(ctx, r.ID, pin)
	}
	if err != nil {
		return accounts.Principal{}, err
	}
	cookie, p, err := a.Accounts.CarerSession(ctx, r.ID, shown.Carer, langOf(c))
	if err != nil {
		return accounts.Principal{}, err
	}
	a.setSession(c, cookie)
	return p, nil
}

func (a *App) deleteSession(c *fiber.Ctx) error {
	if err := a.dropSession(c); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}

func (a *App) getMe(c *fiber.Ctx) error { return c.JSON(viewMe(principalOf(c))) }

type langRequest struct {
	Lang string `json:"lang" required:"true" enum:"zh,en"`
}

func (a *App) putLang(c *fiber.Ctx) error {
	in, err := decode[langRequest](c)
	if err != nil {
		return err
	}
	if err := a.setLang(c, in.Lang); err != nil {
		return err
	}
	p := principalOf(c)
	p.Lang = in.Lang
	return c.JSON(viewMe(p))
}

type passwordRequest struct {
	Current  string `json:"current_password" required:"true" format:"password"`
	Password string `json:"password" required:"true" format:"password" minLength:"8" maxLength:"256"`
}

// faultCurrent counts as a guess, like faultCredentials.
var faultCurrent = &fault{status: 400, code: faultCredentials.code, title: words{"密码未修改", "The password was not changed"},
	detail: words{"当前密码不正确。", "The present password is not right."},
	fields: []fieldFault{{"current_password", words{"当前密码不正确，请再试一次。", "The present password is not right; try again."}}}} // read only

func (a *App) putPassword(c *fiber.Ctx) error {
	in, err := decode[passwordRequest](c)
	if err != nil {
		return err
	}
	p, err := a.changePassword(c, in.Current, in.Password)
	if err != nil {
		return err
	}
	return c.JSON(viewMe(p))
}

// changePassword gives the one who asks a new password and a fresh session;
// the earlier sessions of the account end at once. Errors: faultCurrent.
func (a *App) changePassword(c *fiber.Ctx, current, password string) (accounts.Principal, error) {
	cookie, p, err := a.Accounts.ChangePassword(c.UserContext(), principalOf(c), current, password, a.network(c))
	if errors.Is(err, accounts.ErrCredentials) {
		return p, faultCurrent
	}
	if err != nil {
		return p, err
	}
	a.setSession(c, cookie)
	concerns(c, p.Account, "", p.Division)
	return p, nil
}

// accountView is an account as administrators see it.
type accountView struct {
	ID           string        `json:"id"`
	Username     string        `json:"username"`
	Role         accounts.Role `json:"role" enum:"admin,caseworker,provider"`
	Division     string        `json:"division"`
	Organisation string        `json:"organisation"`
	Duty         accounts.Duty `json:"duty" enum:",owner,editor,handover"`
	DisplayName  string        `json:"display_name"`
	Lang         string        `json:"lang"`
	Disabled     bool          `json:"disabled"`
	CreatedMs    int64         `json:"created_ms"`
	CreatedBy    string        `json:"created_by"`
}

func viewAccount(x *accounts.Account) accountView {
	return accountView{x.ID, x.Username, x.Role, x.Division, x.Organisation, x.Duty, x.DisplayName, x.Lang, x.Disabled, x.CreatedMs, x.CreatedBy}
}

type accountRequest struct {
	Username     string        `json:"username" required:"true" description:"2 to 64 letters, digits and . _ - @"`
	Password     string        `json:"password" required:"true" format:"password" minLength:"8" maxLength:"256"`
	Role         accounts.Role `json:"role" required:"true" enum:"admin,caseworker,provider"`
	Division     string        `json:"division" description:"12-digit code; within the administrator's own. Not for providers."`
	Organisation string        `json:"organisation" description:"Of a provider."`
	Duty         accounts.Duty `json:"duty" enum:",owner,editor,handover" description:"Of a provider; empty: owner."`
	DisplayName  string        `json:"display_name"`
	Lang         string        `json:"lang" enum:"zh,en"`
}

func (a *App) createAccount(c *fiber.Ctx) error {
	in, err := decode[accountRequest](c)
	if err != nil {
		return err
	}
	account, err := a.addAccount(c, accounts.NewAccount(in))
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(viewAccount(account))
}

// addAccount makes an account within the administrator's responsibility.
func (a *App) addAccount(c *fiber.Ctx, n accounts.NewAccount) (*accounts.Account, error) {
	if err := a.mayGrant(c, n.Division, n.Organisation); err != nil {
		return nil, err
	}
	return a.makeAccount(c, n)
}

// makeAccount makes an account that the one who asks may make.
func (a *App) makeAccount(c *fiber.Ctx, n accounts.NewAccount) (*accounts.Account, error) {
	account, err := a.Accounts.Create(c.UserContext(), principalOf(c).Account, n)
	if errors.Is(err, store.ErrDuplicate) {
		return nil, faultDuplicate.with(fieldFault{"username", words{"用户名已被使用，请换一个", "the username is taken; choose another"}})
	}
	if err != nil {
		return nil, err
	}
	if account.Duty == accounts.Owner {
		if err := a.Providers.AddOwner(c.UserContext(), account.Organisation, account.ID); err != nil {
			return nil, err
		}
	}
	concerns(c, account.ID, "", account.Division)
	return account, nil
}

// mayGrant refuses rights that the administrator does not have.
func (a *App) mayGrant(c *fiber.Ctx, division, organisation string) error {
	may, err := a.overseesAccount(c.UserContext(), principalOf(c), division, organisation)
	if errors.Is(err, store.ErrNotFound) {
		return faultField.with(fieldFault{"organisation", words{"没有此机构", "there is no such organisation"}})
	}
	if err != nil {
		return err
	}
	if !may {
		return errOutside
	}
	return nil
}

func (a *App) listAccounts(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	page, next, err := a.Accounts.List(c.UserContext(), q.After, q.Limit)
	if err != nil {
		return err
	}
	mine, err := overseen(c, a, page, func(x *accounts.Account) (string, string) { return x.Division, x.Organisation })
	if err != nil {
		return err
	}
	return c.JSON(listed(mine, next, viewAccount))
}

// overseen leaves what the administrator answers for.
func overseen[T any](c *fiber.Ctx, a *App, page []T, where func(T) (division, organisation string)) ([]T, error) {
	mine := make([]T, 0, len(page))
	for _, x := range page {
		division, organisation := where(x)
		ok, err := a.overseesAccount(c.UserContext(), principalOf(c), division, organisation)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if ok {
			mine = append(mine, x)
		}
	}
	return mine, nil
}

type accountChange struct {
	Disabled *bool   `json:"disabled" description:"true shuts the account out at once, its sessions too."`
	Password *string `json:"password" format:"password" description:"A new password; ends the account's sessions."`
}

func (a *App) changeAccount(c *fiber.Ctx) error {
	in, err := decode[accountChange](c)
	if err != nil {
		return err
	}
	ctx, by, id := c.UserContext(), principalOf(c).Account, accountOf(c).ID
	if in.Disabled != nil {
		if *in.Disabled && id == by {
			return faultField.with(fieldFault{"disabled", words{"不能停用自己的账户", "you cannot disable your own account"}})
		}
		if err := a.shut(ctx, by, accountOf(c), *in.Disabled, true); err != nil {
			return err
		}
	}
	if in.Password != nil {
		if err := a.Accounts.SetPassword(ctx, by, id, *in.Password); err != nil {
			return err
		}
	}
	account, err := a.Accounts.Get(ctx, id)
	if err != nil {
		return err
	}
	return c.JSON(viewAccount(account))
}

// tokenView is a service token without what lets anybody in.
type tokenView struct {
	ID           string        `json:"id"`
	Label        string        `json:"label"`
	Role         accounts.Role `json:"role" enum:"admin,caseworker,provider"`
	Division     string        `json:"division"`
	Organisation string        `json:"organisation"`
	Duty         accounts.Duty `json:"duty" enum:",editor,handover"`
	CreatedMs    int64         `json:"created_ms"`
	ExpiresMs    int64         `json:"expires_ms"`
	Revoked      bool          `json:"revoked"`
}

func viewToken(x *accounts.ServiceToken) tokenView {
	return tokenView{x.ID, x.Label, x.Role, x.Division, x.Organisation, x.Duty, x.CreatedMs, x.ExpiresMs, x.Revoked}
}

type tokenRequest struct {
	Label        string        `json:"label" required:"true" minLength:"1" maxLength:"100"`
	Role         accounts.Role `json:"role" required:"true" enum:"admin,caseworker,provider"`
	Division     string        `json:"division"`
	Organisation string        `json:"organisation"`
	Duty         accounts.Duty `json:"duty" enum:",editor,handover" description:"Of a provider; empty: editor."`
	TTLHours     int64         `json:"ttl_hours" minimum:"0" maximum:"8784" description:"Hours it lives; 0 is 90 days."`
}

type tokenCreated struct {
	Token string `json:"token" required:"true" description:"Shown this once and kept nowhere."`
	tokenView
}

func (a *App) createToken(c *fiber.Ctx) error {
	in, err := decode[tokenRequest](c)
	if err != nil {
		return err
	}
	if in.TTLHours < 0 || in.TTLHours > 8784 {
		return faultField.with(fieldFault{"ttl_hours", words{"应为 0 至 8784 小时", "is from 0 to 8784 hours"}})
	}
	token, t, err := a.addToken(c, accounts.NewToken{
		Label: in.Label, Role: in.Role, Division: in.Division, Organisation: in.Organisation, Duty: in.Duty,
		TTL: time.Duration(in.TTLHours) * time.Hour,
	})
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(tokenCreated{token, viewToken(t)})
}

// addToken makes a service token within the administrator's responsibility.
func (a *App) addToken(c *fiber.Ctx, n accounts.NewToken) (string, *accounts.ServiceToken, error) {
	if err := a.mayGrant(c, n.Division, n.Organisation); err != nil {
		return "", nil, err
	}
	token, t, err := a.Accounts.MintToken(c.UserContext(), principalOf(c).Account, n)
	if err != nil {
		return "", nil, err
	}
	concerns(c, t.ID, "", t.Division)
	return token, t, nil
}

func (a *App) listTokens(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	page, next, err := a.Accounts.Tokens(c.UserContext(), q.After, q.Limit)
	if err != nil {
		return err
	}
	mine, err := overseen(c, a, page, func(x *accounts.ServiceToken) (string, string) { return x.Division, x.Organisation })
	if err != nil {
		return err
	}
	return c.JSON(listed(mine, next, viewToken))
}

func (a *App) deleteToken(c *fiber.Ctx) error {
	if err := a.Accounts.RevokeToken(c.UserContext(), principalOf(c).Account, tokenOf(c).ID); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}
