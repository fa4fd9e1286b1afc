package app

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/store"
)

// leasesShown is how many earlier leases a device's history shows.
const leasesShown = 10

func (a *App) showDevices(c *fiber.Ctx) error {
	f, err := a.form(c, "/devices")
	if err != nil {
		return err
	}
	ctx, p := c.UserContext(), principalOf(c)
	ds, err := a.Care.Devices(ctx, p)
	if err != nil {
		return err
	}
	v, names := pages.Devices{Form: f}, actorNames{}
	for _, d := range ds {
		row := pages.DeviceRow{
			ID: d.ID, Name: d.Name, Mine: d.Account == p.Account, Lost: d.State == care.DeviceLost,
			CreatedMs: d.CreatedMs, SeenMs: d.LastSeenMs, LostMs: d.LostMs,
		}
		v.Others = v.Others || !row.Mine
		if row.Owner, err = a.actorName(c, names, d.Account); err != nil {
			return err
		}
		leases, err := a.Care.Leases(ctx, d.ID, leasesShown)
		if err != nil {
			return err
		}
		for _, l := range leases {
			lease, err := a.Care.LeaseView(ctx, l)
			if err != nil {
				return err
			}
			x := pages.LeaseRow{
				Place: lease.Place, FromMs: lease.FromMs, UntilMs: lease.UntilMs, SyncMs: lease.SyncUntilMs, EndedMs: lease.EndedMs,
				Items: lease.Items, Given: lease.Given, Unreported: max(0, lease.Items-lease.Reported), Gaps: lease.Gaps,
				Returns: lease.Returned, Late: lease.Late, Why: lease.EndedWhy, Overdue: lease.UntilMs <= store.Millis(a.Now()),
			}
			if lease.Ended {
				row.History = append(row.History, x)
			} else {
				row.Lease = &x
			}
		}
		if row.Lease == nil && len(row.History) > 0 {
			row.Last, row.History = &row.History[0], row.History[1:]
		}
		v.Rows = append(v.Rows, row)
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveDeviceLost(c *fiber.Ctx) error {
	if _, err := a.cutOff(c); err != nil {
		return err
	}
	return to(c, "/devices", "device_lost")
}

func (a *App) saveDeviceReturned(c *fiber.Ctx) error {
	_, err := a.Care.Recall(c.UserContext(), principalOf(c), deviceOf(c).ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) { // there is nothing to return
		return err
	}
	return to(c, "/devices", "device_returned")
}

func (a *App) conflictsPage(c *fiber.Ctx) (pages.Conflicts, error) {
	f, err := a.form(c, "/conflicts")
	if err != nil {
		return pages.Conflicts{}, err
	}
	ctx, p := c.UserContext(), principalOf(c)
	v := pages.Conflicts{Form: f, Settled: c.QueryBool("settled")}
	list, next, err := a.Care.Conflicts(ctx, p.Division, v.Settled, c.Query("after"), rowsPerPage)
	if err != nil {
		return v, err
	}
	if v.Settled {
		v.Next = nextLink("/conflicts", next, "settled", "true")
	} else {
		v.Next = nextLink("/conflicts", next)
	}
	names := actorNames{}
	for _, x := range list {
		row := pages.ConflictRow{
			ID: x.ID, Kind: x.Kind, Resident: x.Resident, Place: x.Place, Title: text(x.TitleZH, x.TitleEN),
			Amount: amount(x.Category, x.QtyUnits, x.Unit), Reason: reasonText(x.Reason), Device: x.DeviceName, How: x.How,
			PIN: x.PIN, GivenMs: x.GivenMs, AtMs: x.AtMs, Mine: x.Account == p.Account, Decisions: x.Decisions,
		}
		r, err := a.Residents.Get(ctx, x.Resident)
		if err != nil {
			return v, err
		}
		person, err := a.Residents.Open(ctx, r)
		if err != nil {
			return v, err
		}
		row.Person = person.Name
		if row.Account, err = a.actorName(c, names, x.Account); err != nil {
			return v, err
		}
		if x.Other.State != "" {
			row.Other = &pages.ConflictOther{State: string(x.Other.State), Device: x.Other.Device, AtMs: x.Other.AtMs}
			if row.Other.By, err = a.actorName(c, names, x.Other.By); err != nil {
				return v, err
			}
		}
		if s := x.Settled; s != nil {
			row.Decision, row.Note, row.SettledMs = s.Decision, s.Note, s.AtMs
			if row.By, err = a.actorName(c, names, s.By); err != nil {
				return v, err
			}
		}
		v.Rows = append(v.Rows, row)
	}
	return v, a.lookedAt(c, list)
}

// lookedAt leaves a trace with everybody whom a list of conflicts names.
func (a *App) lookedAt(c *fiber.Ctx, list []care.ConflictView) error {
	if len(list) == 0 {
		return nil
	}
	p := principalOf(c)
	seen := make([]audit.Entry, len(list))
	for i, x := range list {
		seen[i] = audit.Entry{
			AtMs: store.Millis(a.Now()), Actor: actor(p), Role: string(p.Role), Act: "list_conflicts", Object: x.ID,
			Subject: x.Resident, Division: x.Division, Outcome: "ok",
		}
	}
	return a.Audit.Write(c.UserContext(), seen...)
}

func (a *App) showConflicts(c *fiber.Ctx) error {
	v, err := a.conflictsPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveConflictSettled(c *fiber.Ctx) error {
	_, err := a.Care.SettleConflict(c.UserContext(), principalOf(c), c.Params("id"), c.FormValue("decision"), typed(c.FormValue("note")))
	if err == nil {
		return to(c, "/conflicts", "conflict_settled")
	}
	v, show := a.conflictsPage(c)
	if show != nil {
		return show
	}
	status, err := a.refill(c, err, &v.Form, nil, nil)
	if err != nil {
		return err
	}
	return a.show(c, status, v)
}

// openConflicts counts what waits for somebody's judgement, for the home page.
func (a *App) openConflicts(c *fiber.Ctx) (int, error) {
	p := principalOf(c)
	if p.Role != accounts.Admin && p.Role != accounts.Caseworker {
		return 0, nil
	}
	return a.Care.OpenConflicts(c.UserContext(), p.Division)
}
