package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/matching"
)

type scanRequest struct {
	Code string `json:"code" required:"true" description:"Address or digits of the happiness code, or the 12-digit card number."`
}

func (a *App) createScan(c *fiber.Ctx) error {
	in, err := decode[scanRequest](c)
	if err != nil {
		return err
	}
	result, err := a.Care.Scan(c.UserContext(), principalOf(c), in.Code)
	a.metrics.scanned(result, err)
	if err != nil {
		return err
	}
	return c.JSON(result)
}

func (a *App) getAllocation(c *fiber.Ctx) error { return c.JSON(allocationOf(c)) }

func (a *App) acceptAllocation(c *fiber.Ctx) error {
	v, err := a.Care.Accept(c.UserContext(), principalOf(c), allocationOf(c).ID)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

type declineRequest struct {
	Reason string `json:"reason" maxLength:"200" description:"In the resident's words, without names or numbers."`
}

func (a *App) declineAllocation(c *fiber.Ctx) error {
	in, err := decode[declineRequest](c)
	if err != nil {
		return err
	}
	v, err := a.Care.Decline(c.UserContext(), principalOf(c), allocationOf(c).ID, in.Reason)
	if err != nil {
		return err
	}
	return c.JSON(v)
}

type handoverRequest struct {
	Scan string `json:"scan" description:"The scan that the handover rests on, by the same account in the last 12 hours."`
	Code string `json:"code" description:"Or the code or card number, read again."`
	PIN  string `json:"pin" description:"The resident's PIN, or the carer's where the code is a carer's. Needed where the allocation says pin_required, unless a photo was taken. With none of the three it rests on the caseworker's word."`
}

func (a *App) handOverAllocation(c *fiber.Ctx) error {
	in, err := decode[handoverRequest](c)
	if err != nil {
		return err
	}
	v, err := a.handOver(c, allocationOf(c).ID, care.Evidence{Scan: in.Scan, Code: in.Code, PIN: in.PIN})
	if err != nil {
		return err
	}
	return c.JSON(v)
}

// eventView is one line of the ledger of events.
type eventView struct {
	ID           string          `json:"id"`
	AtMs         int64           `json:"at_ms"`
	County       string          `json:"county"`
	Kind         string          `json:"kind"`
	Organisation string          `json:"organisation"`
	Offer        string          `json:"offer"`
	Resident     string          `json:"resident" description:"Empty for providers."`
	Need         string          `json:"need" description:"Empty for providers."`
	Allocation   string          `json:"allocation"`
	Share        string          `json:"share"`
	QtyUnits     int64           `json:"qty_units"`
	By           string          `json:"by" description:"Empty for providers."`
	Reason       matching.Reason `json:"reason"`
}

func viewEvent(e *care.Event) eventView {
	return eventView{
		e.ID, e.AtMs, e.County, e.Kind, e.Organisation, e.Offer, e.Resident, e.Need, e.Allocation, e.Share, e.QtyUnits, e.By, e.Reason,
	}
}

type eventsQuery struct {
	County string `query:"county" description:"12-digit code of a county. Needed unless one answers for all counties; not for providers."`
	pageQuery
}

// listEvents: providers get what became of their own offers and nothing of
// people; others a county that lies wholly within their division.
func (a *App) listEvents(c *fiber.Ctx) error {
	q, err := paged(c)
	if err != nil {
		return err
	}
	p := principalOf(c)
	if p.Role == accounts.Provider {
		page, next, err := a.Care.Events(c.UserContext(), "", p.Organisation, q.After, q.Limit)
		if err != nil {
			return err
		}
		return c.JSON(listed(page, next, func(e *care.Event) eventView {
			cut := e.ForProvider()
			cut.Reason.Facts = nil // may hold what somebody wrote
			return viewEvent(&cut)
		}))
	}
	county := c.Query("county")
	if county != "" || !a.seesAll(p) {
		if err := a.within(p, county); err != nil {
			return err
		}
	}
	page, next, err := a.Care.Events(c.UserContext(), county, "", q.After, q.Limit)
	if err != nil {
		return err
	}
	return c.JSON(listed(page, next, viewEvent))
}

// seesAll says whether somebody answers for every county there is.
func (a *App) seesAll(p accounts.Principal) bool {
	for _, county := range a.Tree().Counties() {
		if !p.Sees(county) {
			return false
		}
	}
	return true
}
