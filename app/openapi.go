package app

import (
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"reflect"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/swaggest/jsonschema-go"
	"github.com/swaggest/openapi-go"
	"github.com/swaggest/openapi-go/openapi31"
)

// Version is the API's; what a client relies on does not change within v1.
const Version = "1.0.0"

// Parts of requests that the table does not spell out row by row.
type (
	idPath struct {
		ID string `path:"id" required:"true"`
	}
	keyHeader struct {
		Key string `header:"Idempotency-Key" maxLength:"128" description:"Repeating a request with the same key within 24 hours answers the first answer again; another body is refused with 422, a request still at work with 409."`
	}
	carerPath struct {
		Carer string `path:"carer" required:"true"`
	}
	donationPath struct {
		Donation string `path:"donation" required:"true"`
	}
	pictureForm struct {
		File *multipart.FileHeader `formData:"file" required:"true" description:"JPEG, PNG or WebP; up to 10 MB and 25 megapixels; of those of a progressive JPEG each counts as four."`
	}
	fileForm struct {
		File     *multipart.FileHeader `formData:"file" required:"true"`
		Division string                `formData:"division" description:"12-digit code; residents may only be of it or below. Empty: one's own. Not for divisions."`
		ImportID string                `formData:"import_id" maxLength:"64" description:"Chosen by the sender, to ask GET /imports/{id} for the progress."`
	}
)

// getOpenAPI serves the description of the API.
func (a *App) getOpenAPI(c *fiber.Ctx) error {
	document, err := a.openapi()
	if err != nil {
		return fmt.Errorf("describe the API: %w", err)
	}
	c.Set(fiber.HeaderContentType, routeOf(c).ContentType)
	return c.Send(document)
}

// describe makes the OpenAPI 3.1 document out of the route table and the Go
// types of requests and answers, so that it cannot say other than they do.
func (a *App) describe() ([]byte, error) {
	r := openapi31.NewReflector()
	r.SpecEns().Info.Title = "幸福码 Happiness Code"
	r.Spec.Info.Version = Version
	r.Spec.Info.WithDescription("帮扶匹配接口:登记居民与需求、发布资源、扫码匹配、交付、幸福清单。\n\n" +
		"The aid matching API: residents and needs, offers, scan and match, handover, the happiness list. " +
		"Sign in with a service token (Authorization: Bearer) or with the session cookie, which needs X-CSRF-Token on everything that changes something. " +
		"Lists are read page by page: give next as after. Times are Unix milliseconds, money is fen. Failures are application/problem+json (RFC 9457).")
	r.Spec.WithServers(openapi31.Server{URL: apiPrefix})
	r.Spec.SetHTTPBearerTokenSecurity("token", "", "服务令牌 / service token")
	r.Spec.SetAPIKeySecurity("session", cookieSecure, openapi.InCookie, "会话 Cookie(HTTP 下为 "+cookiePlain+")/ session cookie ("+cookiePlain+" over plain HTTP)")
	r.DefaultOptions = append(r.DefaultOptions, jsonschema.InterceptDefName(func(t reflect.Type, _ string) string { return schemaName(t) }))
	for _, route := range a.routes {
		if route.Kind != API {
			continue
		}
		if err := describeRoute(r, route); err != nil {
			return nil, fmt.Errorf("%s: %w", route.Name, err)
		}
	}
	for _, item := range r.Spec.Paths.MapOfPathItemValues {
		for _, op := range []*openapi31.Operation{item.Post, item.Put, item.Patch} {
			if op != nil && op.RequestBody != nil && op.RequestBody.RequestBody != nil {
				op.RequestBody.RequestBody.WithRequired(true)
			}
		}
	}
	return json.MarshalIndent(r.Spec, "", " ")
}

func describeRoute(r *openapi31.Reflector, route Route) error {
	oc, err := r.NewOperationContext(route.Method, openapiPath(route.Path))
	if err != nil {
		return err
	}
	oc.SetID(route.Name)
	oc.SetSummary(route.ZH + " / " + route.EN)
	oc.SetTags(strings.Split(strings.TrimPrefix(route.Path, apiPrefix+"/"), "/")[0])
	if strings.Contains(route.Path, ":id") {
		oc.AddReqStructure(idPath{})
	}
	if route.Query != nil {
		oc.AddReqStructure(route.Query)
	}
	if route.Idempotent {
		oc.AddReqStructure(keyHeader{})
	}
	if strings.Contains(route.Path, ":donation") {
		oc.AddReqStructure(donationPath{})
	}
	if strings.Contains(route.Path, ":carer") {
		oc.AddReqStructure(carerPath{})
	}
	if strings.Contains(route.Path, ":document") {
		oc.AddReqStructure(documentPath{})
	}
	if strings.Contains(route.Path, ":place") {
		oc.AddReqStructure(placePath{})
	}
	if strings.Contains(route.Path, ":person") {
		oc.AddReqStructure(memberPath{})
	}
	switch {
	case route.Upload && route.Scope == ScopeAllocation:
		oc.AddReqStructure(pictureForm{})
	case route.Upload && route.Scope == ScopeOrganisation:
		oc.AddReqStructure(documentForm{})
	case route.Upload:
		oc.AddReqStructure(fileForm{})
	}
	if route.Request != nil {
		oc.AddReqStructure(route.Request, func(cu *openapi.ContentUnit) { cu.ContentType = "application/json" })
	}
	status := route.Status
	if status == 0 {
		status = http.StatusOK
	}
	answer := func(cu *openapi.ContentUnit) {
		cu.HTTPStatus, cu.Description = status, http.StatusText(status)
		if route.ContentType != "" {
			cu.ContentType = route.ContentType
		}
	}
	switch {
	case route.Response != nil:
		oc.AddRespStructure(route.Response, answer)
	case route.ContentType != "":
		oc.AddRespStructure("", answer)
	default:
		oc.AddRespStructure(nil, answer)
	}
	oc.AddRespStructure(Problem{}, func(cu *openapi.ContentUnit) {
		cu.IsDefault, cu.ContentType, cu.Description = true, "application/problem+json", "失败 / failure"
	})
	if !route.Public {
		roles := make([]string, len(route.Roles))
		for i, role := range route.Roles {
			roles[i] = string(role)
		}
		oc.SetDescription("角色 / roles: " + strings.Join(roles, ", "))
		oc.AddSecurity("token")
		oc.AddSecurity("session")
	}
	return r.AddOperation(oc)
}

// openapiPath turns /api/v1/x/:id into /x/{id}.
func openapiPath(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, apiPrefix), "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

// schemaName is a type's name with its package where it is not ours, without
// "View" and the marks of generics.
func schemaName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := t.Name()
	if of, ok := strings.CutPrefix(name, "list["); ok {
		of = strings.TrimSuffix(of[strings.LastIndexAny(of, "./")+1:], "]")
		return upper(strings.TrimSuffix(of, "View")) + "List"
	}
	if strings.HasSuffix(t.PkgPath(), "/app/care") && name == "ResidentView" {
		return "ScannedResident" // less than the Resident of /residents
	}
	return upper(strings.TrimSuffix(name, "View"))
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
