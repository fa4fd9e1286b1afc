package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/residents"
)

// needEdit changes what a need asks for; what is left out stays as it is.
type needEdit struct {
	QtyUnits *int64  `json:"qty_units,omitempty" minimum:"1" maximum:"1000000000" description:"Not less than was handed over. What is promised beyond it goes back."`
	Urgency  *int    `json:"urgency,omitempty" minimum:"1" maximum:"4" description:"1 can wait, 4 today."`
	UntilMs  *int64  `json:"until_ms,omitempty" description:"Unix ms, in the future; 0: no end."`
	Note     *string `json:"note,omitempty" maxLength:"500"`
	Reason   string  `json:"reason" required:"true" enum:"asked,situation,mistake,solved,other" description:"Why: the resident asked for it, the situation has changed, it was recorded wrongly, it was solved in another way, another reason."`
	Asked    *int64  `json:"asked" required:"true" minimum:"0" description:"The need's asked, as it was read. Where somebody else has changed it since, the answer is 409."`
}

func (a *App) editNeed(c *fiber.Ctx) error {
	in, err := decode[needEdit](c)
	if err != nil {
		return err
	}
	if in.Asked == nil {
		return faultField.with(fieldFault{"asked", words{"请填写读取需求时的 asked", "give the need's asked as it was read"}})
	}
	edit := residents.NeedEdit{QtyUnits: in.QtyUnits, Urgency: in.Urgency, UntilMs: in.UntilMs, Note: in.Note, Why: in.Reason, Asked: *in.Asked}
	if err := a.mayEdit(c, needOf(c), edit); err != nil {
		return err
	}
	n, err := a.Care.EditNeed(c.UserContext(), principalOf(c), needOf(c).ID, edit)
	if err != nil {
		return err
	}
	v, err := a.Care.Need(c.UserContext(), n)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

type needWithdrawal struct {
	Reason string `json:"reason,omitempty" enum:"asked,situation,mistake,solved,other" description:"Why; may be left out, and so may the body."`
}

func (a *App) withdrawNeed(c *fiber.Ctx) error {
	var in needWithdrawal
	if len(c.Body()) > 0 {
		var err error
		if in, err = decode[needWithdrawal](c); err != nil {
			return err
		}
	}
	need, err := a.Care.WithdrawNeed(c.UserContext(), principalOf(c), needOf(c).ID, in.Reason)
	if err != nil {
		return err
	}
	v, err := a.Care.Need(c.UserContext(), need)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

func (a *App) getNeedStory(c *fiber.Ctx) error {
	story, err := a.Care.Story(c.UserContext(), needOf(c).ID)
	if err != nil {
		return err
	}
	return c.JSON(story)
}
