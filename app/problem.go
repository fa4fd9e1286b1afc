package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/documents"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/reports"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/sheets"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/webhooks"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/providers/funds"
	"github.com/xingfuma/happycode/qrcode"
)

// Problem is how a request fails, in the language of the one who asks:
// application/problem+json (RFC 9457) for programs, an HTML page for people.
// It never says more than the table in this file does. The id of the request
// is in the X-Request-Id header, so that equal failures have equal bodies.
type Problem struct {
	Type   string         `json:"type"` // "urn:happycode:problem:" + Code
	Title  string         `json:"title"`
	Status int            `json:"status"`
	Detail string         `json:"detail"`
	Code   string         `json:"code"` // for programs; stays the same
	Fields []FieldProblem `json:"fields,omitempty"`
}

// FieldProblem says what is wrong with one field of the request.
type FieldProblem struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// fault is a Problem in both languages, and an error.
type fault struct {
	status int
	code   string
	title  words
	detail words
	fields []fieldFault
	again  bool // with something put right, the same Idempotency-Key may be used again
}

type words struct{ zh, en string }

func (w words) in(lang string) string {
	if lang == "en" {
		return w.en
	}
	return w.zh
}

type fieldFault struct {
	field  string
	detail words
}

func (f *fault) Error() string { return f.code + ": " + f.detail.en }

// with returns the fault naming fields.
func (f *fault) with(fields ...fieldFault) *fault {
	g := *f
	g.fields = append(append([]fieldFault(nil), f.fields...), fields...)
	return &g
}

// The faults of the application itself.
var ( // read only
	faultRequest = &fault{status: 400, code: "bad_request", title: words{"请求有误", "Bad request"},
		detail: words{"请求内容无法理解，请检查后重试。", "The request cannot be understood; check it and try again."}}
	faultField = &fault{status: 400, code: "bad_field", title: words{"填写有误", "Something is not filled in rightly"},
		detail: words{"请按提示改正后重试。", "Correct what is named below and try again."}}
	faultSignedOut = &fault{status: 401, code: "signed_out", title: words{"请先登录", "Sign in first"},
		detail: words{"您尚未登录，或登录已过期。", "You are not signed in, or the sign-in has ended."}}
	faultCredentials = &fault{status: 401, code: "credentials", title: words{"登录失败", "Not signed in"},
		detail: words{"用户名或密码不正确。", "The user name or the password is not right."}}
	faultPIN = &fault{status: 401, code: "credentials", title: words{"登录失败", "Not signed in"},
		detail: words{"幸福码或 PIN 不正确；多次输错会暂时锁定，请稍后再试或联系社工。", "The code or the PIN is not right. Many wrong tries lock it for a while: wait, or ask your caseworker."}}
	faultRole = &fault{status: 403, code: "forbidden", title: words{"没有权限", "Not allowed"},
		detail: words{"您的角色不能进行此操作。", "Your role does not allow this."}}
	faultCSRF = &fault{status: 403, code: "csrf", title: words{"请求被拒绝", "Request refused"},
		detail: words{"页面已过期或请求来自其他网站，请刷新页面后重试。", "The page is out of date or the request comes from another site; reload the page and try again."}}
	faultNotFound = &fault{status: 404, code: "not_found", title: words{"未找到", "Not found"},
		detail: words{"没有此内容，或不在您的管辖范围内。", "There is no such thing, or it is not within your responsibility."}}
	faultCode = &fault{status: 404, code: "unknown_code", title: words{"无法识别此幸福码", "This code is not recognised"},
		detail: words{"该码无效、已更换，或不在您的辖区；请核对卡号，或请居民联系所在村(社区)。", "The code is not valid, was replaced, or is not of your division; check the card number or ask at the resident's village."}}
	faultMethod = &fault{status: 405, code: "method_not_allowed", title: words{"不支持的操作", "Method not allowed"},
		detail: words{"该地址不支持此操作。", "This address does not take this method."}}
	faultConflict = &fault{status: 409, code: "conflict", title: words{"内容已变化", "It has changed"},
		detail: words{"他人刚刚修改了此内容，请刷新后重试。", "Somebody else has just changed this; reload and try again."}}
	faultDuplicate = &fault{status: 409, code: "duplicate", title: words{"已存在", "Already there"},
		detail: words{"已有相同的记录，未重复登记。", "The same is recorded already; nothing was added."}}
	faultEnded = &fault{status: 409, code: "ended", title: words{"已结束", "It has ended"},
		detail: words{"该派发已交付、谢绝或过期，不能再改变。", "This allocation was handed over, declined or has expired; it cannot change any more."}}
	faultTaken = &fault{status: 409, code: "taken", title: words{"已由同事接手", "A colleague has taken it"},
		detail: words{"这条报告已由同事接手；如需由您处理，请选择“改由我接手”。", "A colleague has taken this report; choose to take it over if it is yours to do."}}
	faultReportState = &fault{status: 409, code: "report_state", title: words{"报告状态已变化", "The report has moved on"},
		detail: words{"这条报告不能再做这一步，请刷新后查看。", "This report cannot take that step any more; reload to see where it stands."}}
	faultProof = &fault{status: 422, code: "proof", title: words{"凭证不符", "The proof does not fit"},
		detail: words{"所附扫码、卡号与该居民不符，或已失效；请重新扫码，或不附凭证交付。", "The scan or code is not this person's, or does not count any more. Scan again, or hand over without a proof."}}
	faultDisputed = &fault{status: 409, code: "disputed", title: words{"等待核实", "In dispute"},
		detail: words{"离线设备报告已交付，但有疑点，请先在“离线冲突”中核实。", "A device reported it as handed over offline, with a doubt; settle that under “Offline conflicts” first."}}
	faultOwnReport = &fault{status: 403, code: "own_report", title: words{"须由他人核实", "Somebody else decides"},
		detail: words{"这笔交付由您经手，请由本辖区的另一位社工或管理员核实。", "You reported this handover yourself: another caseworker of the place or an administrator decides."}}
	faultDeviceLost = &fault{status: 403, code: "device_lost", title: words{"设备已挂失", "The device was reported lost"},
		detail: words{"该设备已挂失停用，其记录不再采纳；请联系管理员。", "This device was reported lost and is cut off; nothing is taken from it. Ask your administrator."}}
	faultDevices = &fault{status: 409, code: "too_many_devices", title: words{"设备过多", "Too many devices"},
		detail: words{"一个账户最多登记 5 台设备，请先停用不再使用的设备。", "An account has at most 5 devices; report one that you do not use any more as lost."}}
	faultLeaseLive = &fault{status: 409, code: "lease_live", title: words{"设备已领走份额", "Already taken along"},
		detail: words{"该设备已有未结束的租约，请先同步并交回。", "This device has taken something along already; sync and return it first."}}
	faultLeaseEnded = &fault{status: 409, code: "lease_ended", title: words{"租约已结束", "The lease has ended"},
		detail: words{"该租约已结束，请重新领取。", "This lease has ended; take the village along anew."}}
	faultInFlight = &fault{status: 409, code: "in_flight", title: words{"正在处理", "Still at work"},
		detail: words{"相同 Idempotency-Key 的请求正在处理，请稍后重试。", "A request with this Idempotency-Key is being worked on; try again in a moment."}}
	faultFundClosed = &fault{status: 409, code: "fund_closed", title: words{"基金已关闭", "The fund is closed"},
		detail: words{"该基金已关闭，不再接受捐赠或支持新的资源；请先启用，或选择其他基金。", "The fund is closed: it takes no donations and carries no new offers. Open it again, or choose another."}}
	faultFundMonth = &fault{status: 409, code: "month_not_closable", title: words{"不能结账", "Not to be closed now"},
		detail: words{"只能按顺序结算已结束的月份，请刷新页面查看可结账的月份。", "Months are closed in order, once they are over; load the page anew to see which is next."}}
	faultSamePerson = &fault{status: 409, code: "same_person", title: words{"须由他人确认", "Somebody else confirms"},
		detail: words{"结账由您提出，请由本机构的另一位人员确认。", "You proposed this closing: another person of the organisation confirms it."}}
	faultNotApproved = &fault{status: 409, code: "not_approved", title: words{"机构尚未获批", "Not approved"},
		detail: words{"机构获批后方可发布资源，请等待管理员审批。", "The organisation may post offers once an administrator has approved it."}}
	faultTooLarge = &fault{status: 413, code: "too_large", title: words{"内容过大", "Too large"},
		detail: words{"提交的内容超过允许的大小。", "What was sent is larger than allowed."}}
	faultMedia = &fault{status: 415, code: "unsupported_media", title: words{"不支持的格式", "Unsupported format"},
		detail: words{"请以所要求的格式提交，且不要压缩。", "Send it in the format asked for, and not compressed."}}
	faultFile = &fault{status: 400, code: "bad_file", title: words{"文件无法读取", "The file cannot be read"},
		detail: words{"请上传模板格式的 XLSX 或 CSV 文件。", "Send an XLSX or CSV file laid out like the template."}}
	faultReused = &fault{status: 422, code: "key_reused", title: words{"Idempotency-Key 已用过", "Idempotency-Key was used before"},
		detail: words{"该 Idempotency-Key 已用于内容不同的请求，请换一个。", "This Idempotency-Key belongs to a different request; use a new one."}}
	faultRate = &fault{status: 429, code: "too_many", title: words{"尝试过多", "Too many tries"},
		detail: words{"尝试次数过多，请稍后再试。", "Too many tries; wait a while and try again."}}
	faultLocked = &fault{status: 429, code: "locked", title: words{"暂时锁定", "Locked for a while"},
		detail: words{"密码输错次数过多，请稍后再试。", "Too many wrong passwords; wait a while and try again."}}
	faultHeaders = &fault{status: 431, code: "headers_too_large", title: words{"请求头过大", "Header too large"},
		detail: words{"请求头超过允许的大小。", "The header of the request is larger than allowed."}}
	faultInternal = &fault{status: 500, code: "internal", title: words{"系统出错", "Something went wrong"},
		detail: words{"系统出错，已记录；请稍后重试。", "Something went wrong on our side and was recorded; try again later."}}
	faultNotReady = &fault{status: 503, code: "not_ready", title: words{"系统正在恢复", "Not ready yet"},
		detail: words{"系统正在从档案恢复数据，请稍后重试。", "The system is being restored from the record; try again in a moment."}}
	faultAway = &fault{status: 503, code: "not_ready", title: words{"匹配服务暂不可用", "The matcher is away"},
		detail: words{"匹配服务暂时没有响应，请稍后重试；重复提交不会重复派发。", "The matcher does not answer just now. Try again in a moment; nothing is given twice."}}
	faultSlow = &fault{status: 503, code: "timeout", title: words{"处理超时", "It took too long"},
		detail: words{"未能在时限内完成，请重试；重复提交不会重复派发。", "It was not done in time. Try again; nothing is given twice."}}
)

// sentinels turns the errors of the packages into faults; the first that
// matches decides.
var sentinels = []struct { // read only
	err   error
	fault *fault
}{
	{care.ErrUnknownCode, faultCode},
	{care.ErrNotYours, faultNotFound},
	{care.ErrEnded, faultEnded},
	{care.ErrProof, faultProof},
	{care.ErrDisputed, faultDisputed},
	{care.ErrOwnReport, faultOwnReport},
	{care.ErrDeviceLost, faultDeviceLost},
	{care.ErrDevices, faultDevices},
	{care.ErrLeaseLive, faultLeaseLive},
	{care.ErrLeaseEnded, faultLeaseEnded},
	{care.ErrProofNeeded, faultProofNeeded},
	{care.ErrGivenMeanwhile, faultGivenMeanwhile},
	{care.ErrUnits, faultUnits},
	{matching.ErrUnavailable, faultAway},
	{matching.ErrNotReady, faultNotReady},
	{qrcode.ErrToken, faultCode},
	{residents.ErrPIN, faultPIN},
	{residents.ErrLocked, faultPIN},
	{residents.ErrTransition, faultEnded},
	{residents.ErrKeyReused, faultReused},
	{residents.ErrIDNumber, faultField},
	{reports.ErrTaken, faultTaken},
	{reports.ErrState, faultReportState},
	{providers.ErrNotApproved, faultNotApproved},
	{funds.ErrClosed, faultFundClosed},
	{funds.ErrMonth, faultFundMonth},
	{funds.ErrSamePerson, faultSamePerson},
	{regions.ErrDivision, faultField.with(fieldFault{"division", words{"请选择有效的区划(12 位代码)", "choose a division that is there (its 12-digit code)"}})},
	{sheets.ErrTooLarge, faultTooLarge},
	{sheets.ErrFile, faultFile},
	{accounts.ErrNoSession, faultSignedOut},
	{accounts.ErrCredentials, faultCredentials},
	{store.ErrCursor, faultRequest.with(fieldFault{"after", words{"翻页标记无效", "this page mark is not valid"}})},
	{store.ErrConflict, faultConflict},
	{store.ErrDuplicate, faultDuplicate},
	{store.ErrNotFound, faultNotFound},
	{context.DeadlineExceeded, faultSlow},
}

// faultOf finds what to say about an error; faultInternal for the unknown.
func faultOf(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	if f := faultOfField(err); f != nil {
		return f
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.fault
		}
	}
	var fe *fiber.Error
	if errors.As(err, &fe) {
		for _, f := range []*fault{faultNotFound, faultMethod, faultTooLarge, faultMedia, faultHeaders} {
			if f.status == fe.Code {
				return f
			}
		}
		if fe.Code == http.StatusRequestTimeout {
			g := *faultRequest
			g.status, g.code = fe.Code, "timeout"
			return &g
		}
		if fe.Code < 500 {
			return faultRequest
		}
	}
	return faultInternal
}

// problemOf describes an error in the request's language. Pages use it to
// show a form again with what is wrong; a wrong password or code counts
// against the route's limit all the same.
func (a *App) problemOf(c *fiber.Ctx, err error) Problem {
	if guessed(err) {
		c.Locals(localGuessed, true)
	}
	return faultOf(err).problem(langOf(c))
}

func (f *fault) problem(lang string) Problem {
	p := Problem{
		Type: "urn:happycode:problem:" + f.code, Title: f.title.in(lang), Status: f.status,
		Detail: f.detail.in(lang), Code: f.code,
	}
	for _, ff := range f.fields {
		p.Fields = append(p.Fields, FieldProblem{ff.field, ff.detail.in(lang)})
	}
	return p
}

// refuse answers a request that failed, and logs what people are not told.
func (a *App) refuse(c *fiber.Ctx, err error) error {
	a.secure(c) // a request that broke off early has not passed the front
	f := faultOf(err)
	if f.status >= 500 {
		a.Logger.Error("request failed", "request", requestID(c), "route", routeName(c), "status", f.status, "error", err)
	}
	p := f.problem(langOf(c))
	c.Response().ResetBody()
	c.Response().Header.Del(fiber.HeaderContentDisposition)
	c.Status(p.Status)
	if p.Status == http.StatusUnauthorized && asJSON(c) {
		c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="happycode"`)
	}
	if p.Status == http.StatusServiceUnavailable && len(c.Response().Header.Peek(fiber.HeaderRetryAfter)) == 0 {
		c.Set(fiber.HeaderRetryAfter, "2")
	}
	if requestID(c) == "" {
		defer func() { a.observe(c, 0) }()
	}
	if asJSON(c) {
		body, err := json.Marshal(p)
		if err != nil {
			return err // a Problem always encodes
		}
		c.Set(fiber.HeaderContentType, "application/problem+json")
		return c.Send(body)
	}
	if err := a.showProblem(c, p); err != nil {
		a.Logger.Error("show problem page", "request", requestID(c), "error", err)
		c.Set(fiber.HeaderContentType, fiber.MIMETextPlainCharsetUTF8)
		return c.Status(p.Status).SendString(p.Title)
	}
	return nil
}

// asJSON says whether failures are told to a program.
func asJSON(c *fiber.Ctx) bool {
	if r := routeOf(c); r != nil {
		return r.Kind == API || r.Kind == Probe
	}
	return strings.HasPrefix(c.Path(), "/api/")
}

// faultOfField finds the field errors of the packages, which bring their own
// words; nil for other errors.
func faultOfField(err error) *fault {
	var (
		leased   *care.LeasedError
		account  accounts.FieldError
		provider providers.FieldError
		resident *residents.FieldError
		report   *reports.FieldError
		hook     *webhooks.FieldError
		document *documents.FieldError
		locked   accounts.LockedError
	)
	switch {
	case errors.As(err, &leased):
		reason := leased.Reason()
		return &fault{status: 409, code: reason.Code, title: words{"已由离线设备领走", "Taken along by a device"}, detail: words{reason.ZH, reason.EN}}
	case errors.As(err, &account):
		return faultField.with(fieldFault{account.Field, words{account.ZH, account.EN}})
	case errors.As(err, &provider):
		return faultField.with(fieldFault{provider.Field, words{provider.ZH, provider.EN}})
	case errors.As(err, &resident):
		return faultField.with(fieldFault{resident.Field, words{resident.ZH, resident.EN}})
	case errors.As(err, &report):
		return faultField.with(fieldFault{report.Field, words{report.ZH, report.EN}})
	case errors.As(err, &hook):
		return faultField.with(fieldFault{hook.Field, words{hook.ZH, hook.EN}})
	case errors.As(err, &document):
		return faultField.with(fieldFault{document.Field, words{document.ZH, document.EN}})
	case errors.As(err, &locked):
		return faultLocked
	}
	return nil
}
