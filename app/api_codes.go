package app

import (
	"errors"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/qrcode"
)

// codesAhead is how many screen codes a phone gets at once: 20 minutes. The
// page asks again after two, so that at least a quarter of an hour is left
// whenever the network goes. Whoever holds a code can show it for its step and
// the window of [qrcode.Keys.Verify]: more would only be more to lose.
const codesAhead = 40

// faultNothingShown says that somebody has no code to show: it was revoked, or they
// are not served here any more.
var faultNothingShown = &fault{status: 409, code: "nothing_to_show", title: words{"没有可出示的码", "No code to show"},
	detail: words{"您的幸福码已停用，请联系所在村（社区）补发。", "Your happiness code is out of use; ask your village office for a new one."}} // read only

// shownCode is a code that somebody may show, and over what name it stands.
type shownCode struct {
	*residents.Code
	name string
}

// shownCode returns the code that the one who asks may show at this moment: a
// resident the own one, a carer the carer's. Errors: faultNothingShown.
func (a *App) shownCode(c *fiber.Ctx) (shownCode, error) {
	ctx := c.UserContext()
	r, err := a.Residents.Get(ctx, principalOf(c).Resident)
	if err != nil {
		return shownCode{}, err
	}
	mine := r.Code
	if id := principalOf(c).Carer; id != "" {
		carer, err := a.Residents.Carer(ctx, r.ID, id)
		if err != nil {
			return shownCode{}, err
		}
		mine = carer.Code
	}
	_, code, err := a.Residents.ByCode(ctx, mine)
	if errors.Is(err, store.ErrNotFound) {
		return shownCode{}, faultNothingShown
	}
	if err != nil {
		return shownCode{}, err
	}
	if code.Status != residents.CodeActive || r.Status != residents.Active {
		return shownCode{}, faultNothingShown
	}
	person, err := a.Residents.Open(ctx, r)
	if err != nil {
		return shownCode{}, err
	}
	return shownCode{code, person.Name}, nil
}

// codesView is what a phone needs to show codes without a network.
type codesView struct {
	ServerMs int64    `json:"server_ms" description:"The server's clock at the answer; phones' clocks are wrong."`
	FromStep int64    `json:"from_step" description:"Step of the first token: Unix time / 30 s."`
	StepS    int64    `json:"step_s" description:"How long each token is to be shown, in seconds."`
	Tokens   []string `json:"tokens" description:"193 digits each, one a step."`
	Prefix   string   `json:"prefix" description:"What stands before the digits in the code image."`
	Name     string   `json:"name"`
	CardNo   string   `json:"card_no" description:"12 digits to type."`
}

func (a *App) listMyCodes(c *fiber.Ctx) error {
	shown, err := a.shownCode(c)
	if err != nil {
		return err
	}
	now := a.Now()
	v := codesView{
		ServerMs: now.UnixMilli(), FromStep: qrcode.ScreenStamp(now), StepS: int64(qrcode.ScreenStep / time.Second),
		Tokens: make([]string, codesAhead), Prefix: qrcode.Prefix(a.Settings.PublicHost), Name: shown.name, CardNo: shown.CardNo,
	}
	for i := range v.Tokens {
		token, err := a.Residents.ScreenToken(shown.Code, now.Add(time.Duration(i)*qrcode.ScreenStep))
		if err != nil {
			return err
		}
		v.Tokens[i] = token.Digits()
	}
	return c.JSON(v)
}

// getMyCodeSVG is for phones that run no scripts; the page loads itself anew.
func (a *App) getMyCodeSVG(c *fiber.Ctx) error {
	shown, err := a.shownCode(c)
	if err != nil {
		return err
	}
	token, err := a.Residents.ScreenToken(shown.Code, a.Now())
	if err != nil {
		return err
	}
	svg, err := qrcode.SVG(qrcode.URL(a.Settings.PublicHost, token), qrcode.M)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "image/svg+xml")
	return c.Send(svg)
}
