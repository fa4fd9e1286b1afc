package app

import (
	"context"
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// maxPeople is how many accounts an organisation may make for itself.
const maxPeople = 200

type memberPath struct {
	Person string `path:"person" description:"The person's account id."`
}

// personView is somebody of an organisation.
type personView struct {
	ID          string        `json:"id"`
	Username    string        `json:"username"`
	DisplayName string        `json:"display_name"`
	Duty        accounts.Duty `json:"duty" enum:"owner,editor,handover"`
	Disabled    bool          `json:"disabled"`
	CreatedMs   int64         `json:"created_ms"`
}

func viewPerson(x *accounts.Account) personView {
	return personView{x.ID, x.Username, x.DisplayName, x.Duty, x.Disabled, x.CreatedMs}
}

type personRequest struct {
	Username    string        `json:"username" required:"true" description:"2 to 64 letters, digits and . _ - @"`
	DisplayName string        `json:"display_name" maxLength:"100"`
	Duty        accounts.Duty `json:"duty" required:"true" enum:"owner,editor,handover" description:"owner: everything; editor: all but people, documents and tokens; handover: the counter only."`
	Lang        string        `json:"lang" enum:"zh,en"`
}

type personCreated struct {
	personView
	Password string `json:"password" description:"To begin with; shown this once and kept nowhere. Empty where none was drawn."`
}

type personChange struct {
	Duty        *accounts.Duty `json:"duty" enum:"owner,editor,handover"`
	Disabled    *bool          `json:"disabled" description:"true shuts the account out at once."`
	NewPassword bool           `json:"new_password" description:"Draws a new password; the account's sessions end."`
}

func (a *App) listPeople(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	page, next, err := a.Accounts.Members(c.UserContext(), organisationOf(c).ID, q.After, q.Limit)
	if err != nil {
		return err
	}
	return c.JSON(listed(page, next, viewPerson))
}

func (a *App) createPerson(c *fiber.Ctx) error {
	in, err := decode[personRequest](c)
	if err != nil {
		return err
	}
	account, password, err := a.addPerson(c, in)
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(personCreated{viewPerson(account), password})
}

// addPerson makes an account of the organisation with a password that is drawn
// here, returned this once and kept nowhere.
func (a *App) addPerson(c *fiber.Ctx, in personRequest) (*accounts.Account, string, error) {
	ctx, org := c.UserContext(), organisationOf(c)
	if in.Duty == "" {
		return nil, "", faultField.with(fieldFault{"duty", words{"请选择职责", "choose a duty"}})
	}
	page, _, err := a.Accounts.Members(ctx, org.ID, "", maxPeople)
	if err != nil {
		return nil, "", err
	}
	if len(page) >= maxPeople {
		return nil, "", faultField.with(fieldFault{"username", words{"机构的账户已达 200 个，请联系管理员", "the organisation has 200 accounts already: ask the administrator"}})
	}
	password := accounts.DrawPassword()
	account, err := a.makeAccount(c, accounts.NewAccount{
		Username: in.Username, Password: password, Role: accounts.Provider, Organisation: org.ID, Duty: in.Duty, DisplayName: in.DisplayName, Lang: in.Lang,
	})
	if err != nil {
		return nil, "", err
	}
	concerns(c, account.ID, "", org.Division)
	return account, password, nil
}

func (a *App) changePerson(c *fiber.Ctx) error {
	in, err := decode[personChange](c)
	if err != nil {
		return err
	}
	account, password, err := a.alterPerson(c, in)
	if err != nil {
		return err
	}
	return c.JSON(personCreated{viewPerson(account), password})
}

// personOf is the account that a path names besides the organisation, if it is
// of that organisation.
func (a *App) personOf(c *fiber.Ctx) (*accounts.Account, error) {
	x, err := a.Accounts.Get(c.UserContext(), c.Params("person"))
	if errors.Is(err, store.ErrNotFound) || err == nil && x.Organisation != organisationOf(c).ID {
		return nil, errOutside
	}
	return x, err
}

// alterPerson changes somebody of the organisation. The new password is drawn
// here, returned this once and kept nowhere.
func (a *App) alterPerson(c *fiber.Ctx, in personChange) (_ *accounts.Account, password string, err error) {
	ctx, p := c.UserContext(), principalOf(c)
	x, err := a.personOf(c)
	if err != nil {
		return nil, "", err
	}
	if in.Disabled != nil {
		if *in.Disabled && x.ID == p.Account {
			return nil, "", faultField.with(fieldFault{"disabled", words{"不能停用自己的账户", "you cannot disable your own account"}})
		}
		if err := a.shut(ctx, p.Account, x, *in.Disabled, p.Role == accounts.Admin); err != nil {
			return nil, "", err
		}
	}
	if in.Duty != nil {
		if err := a.setDuty(ctx, p, x, *in.Duty); err != nil {
			return nil, "", err
		}
	}
	if in.NewPassword {
		password = accounts.DrawPassword()
		if err := a.Accounts.SetPassword(ctx, p.Account, x.ID, password); err != nil {
			return nil, "", err
		}
	}
	concerns(c, x.ID, "", organisationOf(c).Division)
	if x, err = a.Accounts.Get(ctx, x.ID); err != nil {
		return nil, "", err
	}
	return x, password, nil
}

// shut shuts an account out or lets it in. Of an owner the organisation's
// document decides first: what it says is never more than what is so, and
// doing it again mends a crash in between.
func (a *App) shut(ctx context.Context, by string, x *accounts.Account, disabled, last bool) error {
	owns := x.Duty == accounts.Owner
	if owns && disabled {
		if err := a.dropOwner(ctx, x, last); err != nil {
			return err
		}
	}
	if err := a.Accounts.Disable(ctx, by, x.ID, disabled); err != nil {
		return err
	}
	if owns && !disabled {
		return a.Providers.AddOwner(ctx, x.Organisation, x.ID)
	}
	return nil
}

func (a *App) setDuty(ctx context.Context, p accounts.Principal, x *accounts.Account, d accounts.Duty) error {
	if d != accounts.Owner && x.Duty == accounts.Owner {
		if err := a.dropOwner(ctx, x, p.Role == accounts.Admin); err != nil {
			return err
		}
	}
	if err := a.Accounts.SetDuty(ctx, p.Account, x.ID, d); err != nil {
		return err
	}
	if d == accounts.Owner && !x.Disabled {
		return a.Providers.AddOwner(ctx, x.Organisation, x.ID)
	}
	return nil
}

func (a *App) dropOwner(ctx context.Context, x *accounts.Account, last bool) error {
	known, err := a.Accounts.Owners(ctx, x.Organisation)
	if err != nil {
		return err
	}
	err = a.Providers.DropOwner(ctx, x.Organisation, x.ID, known, last)
	if errors.Is(err, providers.ErrLastOwner) {
		return faultField.with(fieldFault{"duty", words{"机构至少要有一位负责人，请先让另一人成为负责人", "an organisation keeps one owner at least: make somebody else an owner first"}})
	}
	return err
}
