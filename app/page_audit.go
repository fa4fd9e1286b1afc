package app

import (
	"context"
	"errors"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/app/press"
	"github.com/xingfuma/happycode/app/store"
)

// actorNames turns the actors of audit entries into names, once each.
type actorNames map[string]string

func (a *App) actorName(c *fiber.Ctx, known actorNames, actor string) (string, error) {
	if name, ok := known[actor]; ok {
		return name, nil
	}
	ctx, name := c.UserContext(), actor
	page := a.site.Page(langOf(c), pages.User{}, "", "")
	var err error
	switch {
	case strings.HasPrefix(actor, "resident:"):
		name = page.T("role.resident")
	case strings.HasPrefix(actor, "carer:"):
		name = page.T("role.carer")
	case strings.HasPrefix(actor, "token:"):
		var t *accounts.ServiceToken
		if t, err = a.Accounts.Token(ctx, strings.TrimPrefix(actor, "token:")); err == nil {
			name = t.Label
		}
	default:
		var x *accounts.Account
		if x, err = a.Accounts.Get(ctx, actor); err == nil {
			if name = x.DisplayName; name == "" {
				name = x.Username
			}
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		name, err = page.T("role.other"), nil
	}
	known[actor] = name
	return name, err
}

// otherActs are the acts that no route does: app/care and app/press write them
// themselves, or a command did.
func otherActs() map[string]words {
	return map[string]words{
		"scan":     {"扫码", "Scanned the code"},
		"accept":   {"接受派发", "Accepted aid"},
		"decline":  {"谢绝派发", "Declined aid"},
		"handover": {"交付", "Handed aid over"},

		"counter_scan":     {"在机构柜台扫码", "Scanned the code at a provider's counter"},
		"counter_handover": {"在机构柜台交付", "Handed aid over at a provider's counter"},
		"return":           {"收回交付", "Took back what was handed over"},
		"no_show":          {"登记未到", "Recorded that nobody came"},
		"no_show_repeated": {"再次登记未到(他人已登记)", "Recorded that nobody came, as somebody else had"},
		"delivery_list":    {"查看配送清单(上门送货)", "Looked at the list of deliveries"},
		"delivery_tried":   {"上门时无人在家", "Came and found nobody at home"},
		"redeem_voucher":   {"核销代金券", "Redeemed a voucher"},
		"view_vouchers":    {"查看代金券券码", "Looked at the codes of vouchers"},

		"accept_repeated":   {"再次接受派发(他人已接受)", "Accepted aid that somebody else had accepted"},
		"decline_repeated":  {"再次谢绝派发(他人已谢绝)", "Declined aid that somebody else had declined"},
		"handover_repeated": {"再次交付(他人已交付)", "Handed over aid that somebody else had handed over"},

		"add_photo":     {"拍交付照片", "Took a photo of the handover"},
		"add_need":      {"登记需求", "Recorded a need"},
		"edit_need":     {"更改需求", "Changed a need"},
		"send_sms":      {"发送短信", "Sent a text message"},
		"withdraw_need": {"撤回需求", "Withdrew a need"},
		press.Act:       {"打印卡片", "Printed the card"},

		"register_device":  {"登记离线设备", "Registered a device"},
		"lose_device":      {"挂失离线设备", "Reported a device lost"},
		"take_offline":     {"带走离线名册", "Took the roster along offline"},
		"refresh_offline":  {"刷新离线名册", "Refreshed the offline roster"},
		"return_offline":   {"交回离线份额", "Returned what was taken along"},
		"handover_offline": {"离线交付", "Handed aid over offline"},
		"offline_conflict": {"离线冲突", "An offline handover in doubt"},
		"list_conflicts":   {"查看离线冲突", "Looked at offline conflicts"},
		"settle_conflict":  {"处理离线冲突", "Settled an offline conflict"},

		care.KindMovedOut: {"份额调往其他县区", "Units went to another county"},
		care.KindMovedIn:  {"其他县区调来份额", "Units came from another county"},

		"create_signing_key": {"新建签名密钥", "Made a signing key"},
		"retire_signing_key": {"停用签名密钥", "Retired a signing key"},
		"revoke_signing_key": {"作废已泄露的签名密钥", "Revoked a compromised signing key"},
	}
}

// actText says in the reader's language what an audit entry's act is: the
// summary of the route that does it.
func (a *App) actText(c *fiber.Ctx, act string) string {
	if w, ok := otherActs()[act]; ok {
		return w.in(langOf(c))
	}
	for _, r := range a.routes {
		if r.Purpose == act || r.Name == act {
			return words{r.ZH, r.EN}.in(langOf(c))
		}
	}
	return act
}

// roleKey is the role as the catalogue knows it.
func roleKey(role string) string {
	if accounts.Role(role).Valid() {
		return role
	}
	return "other"
}

// outcomeText says what came of an act.
func outcomeText(c *fiber.Ctx, outcome string) string {
	switch outcome {
	case "ok", "":
		return words{"完成", "Done"}.in(langOf(c))
	case "denied":
		return words{"已拒绝", "Denied"}.in(langOf(c))
	}
	return outcome
}

// looks are the last times somebody looked at a resident.
func (a *App) looks(c *fiber.Ctx, resident string) ([]pages.Viewing, error) {
	entries, _, err := a.Audit.Of(c.UserContext(), resident, "", 30)
	if err != nil {
		return nil, err
	}
	names := actorNames{}
	var out []pages.Viewing
	for _, e := range entries {
		who, err := a.actorName(c, names, e.Actor)
		if err != nil {
			return nil, err
		}
		v := pages.Viewing{AtMs: e.AtMs, Who: who, Role: roleKey(e.Role), What: a.actText(c, e.Act)}
		if e.Outcome == "denied" {
			v.Purpose = outcomeText(c, e.Outcome)
		}
		out = append(out, v)
	}
	return out, nil
}

func (a *App) showAudit(c *fiber.Ctx) error {
	f, err := a.form(c, "/audit")
	if err != nil {
		return err
	}
	subject := typed(c.Query("subject"))
	f.Values["subject"] = []string{subject}
	v := pages.Audit{Form: f}
	ctx, p := c.UserContext(), principalOf(c)
	v.MayCheck = a.seesAll(p)
	var entries []audit.Entry
	var next string
	if subject == "" {
		entries, next, err = a.auditOf(ctx, p, c.Query("after"))
	} else {
		r, findErr := a.Residents.Get(ctx, subject)
		if errors.Is(findErr, store.ErrNotFound) || findErr == nil && !p.Sees(r.Division) {
			return a.show(c, fiber.StatusOK, v)
		}
		if findErr != nil {
			return findErr
		}
		concerns(c, subject, subject, r.Division)
		entries, next, err = a.Audit.Of(ctx, subject, c.Query("after"), rowsPerPage)
	}
	if err != nil {
		return err
	}
	names := actorNames{}
	for _, e := range entries {
		who, err := a.actorName(c, names, e.Actor)
		if err != nil {
			return err
		}
		v.Rows = append(v.Rows, pages.AuditRow{
			AtMs: e.AtMs, Who: who, Role: roleKey(e.Role), Act: a.actText(c, e.Act), Object: e.Object, Outcome: outcomeText(c, e.Outcome),
		})
	}
	v.Next = nextLink("/audit", next, "subject", subject)
	return a.show(c, fiber.StatusOK, v)
}

// auditPages is how many pages of the log are read for one page of it.
const auditPages = 40

// auditOf is the latest of the log that an administrator answers for, in whole
// pages of it. A small village's entries lie far apart: rather few rows with a
// next page than a request that reads on and on.
func (a *App) auditOf(ctx context.Context, p accounts.Principal, after string) (mine []audit.Entry, next string, err error) {
	all := a.seesAll(p)
	for range auditPages {
		var page []audit.Entry
		if page, next, err = a.Audit.Recent(ctx, after, rowsPerPage); err != nil {
			return nil, "", err
		}
		for _, e := range page {
			if all || p.Sees(e.Division) {
				mine = append(mine, e)
			}
		}
		if next == "" || len(mine) >= rowsPerPage {
			break
		}
		after = next
	}
	return mine, next, nil
}

// saveAuditCheck verifies the whole chain. It reads all of the log, so it is
// not done by following a link, and only for those who may see all of it.
func (a *App) saveAuditCheck(c *fiber.Ctx) error {
	if !a.seesAll(principalOf(c)) {
		return errOutside
	}
	f, err := a.form(c, "/audit")
	if err != nil {
		return err
	}
	report, err := a.Audit.Verify(c.UserContext(), func(int, int) {})
	if err != nil {
		return err
	}
	v := pages.Audit{Form: f, MayCheck: true, Check: &pages.AuditCheck{Blocks: report.Blocks, Entries: report.Entries}}
	for _, fault := range report.Faults {
		v.Check.Faults = append(v.Check.Faults, fault.EntryID+" "+fault.What)
	}
	return a.show(c, fiber.StatusOK, v)
}
