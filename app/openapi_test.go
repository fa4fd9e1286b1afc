package app

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// Every API route is an operation and every operation is a route; parameters,
// bodies and answers are declared; the document is valid OpenAPI 3.1.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.do("visitor", "GET", "/api/v1/openapi.json", nil)
	if got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), "application/vnd.oai.openapi+json") {
		t.Fatalf("%d %s", got.status, got.header.Get("Content-Type"))
	}
	doc, err := openapi3.NewLoader().LoadFromData(got.body)
	must(t, err)
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("it is OpenAPI %s", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Errorf("not valid: %v", err)
	}
	operations := map[string]*openapi3.Operation{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			operations[method+" "+path] = op
		}
	}
	parameter := regexp.MustCompile(`\{(\w+)\}`)
	for _, r := range w.app.Routes() {
		if r.Kind != API {
			continue
		}
		name := r.Method + " " + openapiPath(r.Path)
		op := operations[name]
		if op == nil {
			t.Errorf("%s is not described", name)
			continue
		}
		delete(operations, name)
		if op.OperationID != r.Name || op.Summary == "" {
			t.Errorf("%s: id %q, summary %q", name, op.OperationID, op.Summary)
		}
		for _, m := range parameter.FindAllStringSubmatch(name, -1) {
			if op.Parameters.GetByInAndName("path", m[1]) == nil {
				t.Errorf("%s: parameter %s is not declared", name, m[1])
			}
		}
		if (r.Request != nil || r.Upload) != (op.RequestBody != nil) {
			t.Errorf("%s: request body declared: %v", name, op.RequestBody != nil)
		}
		if op.RequestBody != nil && !op.RequestBody.Value.Required {
			t.Errorf("%s: the body may be left out", name)
		}
		if r.Idempotent != (op.Parameters.GetByInAndName("header", "Idempotency-Key") != nil) {
			t.Errorf("%s: Idempotency-Key declared: %v", name, !r.Idempotent)
		}
		if r.Public != (op.Security == nil) {
			t.Errorf("%s: public %v, security %v", name, r.Public, op.Security)
		}
		status := r.Status
		if status == 0 {
			status = 200
		}
		if op.Responses.Status(status) == nil || op.Responses.Default() == nil {
			t.Errorf("%s: answers %d and default are not both declared", name, status)
		}
	}
	for name := range operations {
		t.Errorf("%s is described but is no route", name)
	}
}

// What routes answer fits what the document says they do.
func TestAnswersFitTheDescription(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rows := matrix(w)
	doc, err := openapi3.NewLoader().LoadFromData(w.do("visitor", "GET", "/api/v1/openapi.json", nil).body)
	must(t, err)
	n := 0
	for _, r := range w.app.Routes() {
		row := rows[r.Name]
		if r.Kind != API || row.path == "" || r.Response == nil {
			continue
		}
		var body any
		if row.body != nil {
			body = row.body(w)
		}
		var headers []header
		if row.kind != "" {
			headers = append(headers, header{"Content-Type", row.kind})
		}
		got := w.do("admin", r.Method, row.path, body, headers...)
		item := doc.Paths.Find(openapiPath(r.Path))
		if item == nil {
			t.Errorf("%s is not described", r.Name)
			continue
		}
		answer := item.GetOperation(r.Method).Responses.Status(got.status)
		kind := "application/json"
		if r.ContentType != "" {
			kind = r.ContentType
		}
		if answer == nil {
			answer, kind = item.GetOperation(r.Method).Responses.Default(), "application/problem+json"
		}
		var v any
		must(t, json.Unmarshal(got.body, &v))
		if err := answer.Value.Content.Get(kind).Schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("%s answers %d: %v", r.Name, got.status, err)
		}
		n++
	}
	if n < 30 {
		t.Errorf("only %d routes were asked", n)
	}
}
