package app

import (
	"bytes"
	"image"
	"image/png"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/providers"
)

// document is a form with a file, as a browser sends it.
func document(t *testing.T, kind, name string, file []byte) (*bytes.Buffer, header) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	must(t, m.WriteField("kind", kind))
	part, err := m.CreateFormFile("file", name)
	must(t, err)
	_, err = part.Write(file)
	must(t, err)
	must(t, m.Close())
	return &b, header{"Content-Type", m.FormDataContentType()}
}

// What an organisation shows of itself is known by its content, leaves as an
// attachment only, and reaches the owner and the administrators of the seat.
func TestDocuments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("boss", accounts.Provider, "", w.orgID)
	path := "/api/v1/organisations/" + w.orgID + "/documents"
	add := func(actor, name string, file []byte) answer {
		body, kind := document(t, "licence", name, file)
		return w.do(actor, "POST", path, body, kind)
	}
	var picture bytes.Buffer
	must(t, png.Encode(&picture, image.NewGray(image.Rect(0, 0, 40, 30))))
	bomb := bytes.Clone(picture.Bytes())
	copy(bomb[16:24], []byte{0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20}) // says it is 20,000 × 20,000
	for name, file := range map[string][]byte{
		"licence.pdf":  []byte("MZ\x90\x00 a program with another name"),
		"page.pdf":     []byte("<html><script>alert(1)</script>"),
		"drawing.png":  []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`),
		"archive.jpg":  []byte("PK\x03\x04"),
		"bomb.png":     bomb,
		"scripted.pdf": []byte("%PDF-1.7\n<< /OpenAction << /S /JavaScript /JS (app.alert(1)) >> >>\n%%EOF"),
	} {
		if got := add("page boss", name, file); got.status != 400 || got.problem(t).field() != "file" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	paper := []byte("%PDF-1.7\n<script>alert(1)</script>\n%%EOF\n")
	var pdf, photo documentView
	add("page boss", "../../营业执照.exe", paper).into(t, &pdf)
	add("page boss", "x", picture.Bytes()).into(t, &photo)
	if pdf.Type != "application/pdf" || photo.Type != "image/jpeg" {
		t.Fatalf("%+v, %+v", pdf, photo)
	}
	for _, actor := range []string{"page boss", "admin"} {
		got := w.do(actor, "GET", path+"/"+pdf.ID, nil)
		if got.status != 200 || !bytes.Equal(got.body, paper) || got.header.Get("Content-Type") != "application/pdf" ||
			!strings.HasPrefix(got.header.Get("Content-Disposition"), `attachment; filename="licence-2`) ||
			got.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(got.header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: %d %v", actor, got.status, got.header)
		}
		if e := w.lastAudit(); e.Act != "view_document" || e.Object != pdf.ID {
			t.Errorf("the look is not in the audit log: %+v", e)
		}
	}
	if got := w.do("admin", "GET", path+"/"+photo.ID, nil); !bytes.HasPrefix(got.body, []byte("\xff\xd8\xff")) {
		t.Error("a picture is not kept as a new JPEG")
	}
	// An editor, another organisation's owner, other administrators, caseworkers.
	w.account("rival", accounts.Provider, "", w.orgRest)
	for actor, status := range map[string]int{"provider": 403, "page rival": 404, "admin elsewhere": 404, "caseworker": 403, "visitor": 401} {
		if got := w.do(actor, "GET", path+"/"+pdf.ID, nil); got.status != status {
			t.Errorf("%s: %d, want %d", actor, got.status, status)
		}
	}
	if got := w.do("page rival", "GET", "/api/v1/organisations/"+w.orgRest+"/documents/"+pdf.ID, nil); got.status != 404 {
		t.Errorf("through one's own organisation: %d", got.status)
	}
	wantPage(t, w.do("page boss", "GET", "/organisations/"+w.orgID+"/documents", nil), 200, "营业执照或登记证书")
	if got := w.do("page boss", "DELETE", path+"/"+pdf.ID, nil); got.status != 204 {
		t.Fatalf("withdraw: %d", got.status)
	}
	for actor, status := range map[string]int{"page boss": 404, "admin": 200} {
		if got := w.do(actor, "GET", path+"/"+pdf.ID, nil); got.status != status {
			t.Errorf("%s after it was withdrawn: %d, want %d", actor, got.status, status)
		}
	}
}

// A suspension asks for a reason, which the organisation reads; who decided it
// does not.
func TestOrganisationReadsWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("boss", accounts.Provider, "", w.orgID)
	w.account("head", accounts.Admin, city, "")
	decide := "/organisations/" + w.orgID + "/decision"
	wantPage(t, w.submit("page head", decide, map[string][]string{"status": {"suspended"}}), 400, "请填写原因。")
	if got := w.submit("page head", decide, map[string][]string{"status": {"suspended"}, "note": {"食品经营许可证过期"}}); got.status != 303 {
		t.Fatalf("suspend: %d %s", got.status, got.body)
	}
	for _, path := range []string{"/", "/organisations/" + w.orgID, "/organisations/" + w.orgID + "/history"} {
		got := w.do("page boss", "GET", path, nil)
		wantPage(t, got, 200, "食品经营许可证过期")
		if strings.Contains(string(got.body), "head") && strings.Contains(string(got.body), ">head") {
			t.Errorf("%s names the administrator", path)
		}
	}
	wantPage(t, w.do("page head", "GET", "/organisations/"+w.orgID+"/history", nil), 200, "食品经营许可证过期", "head")
	var view organisationView
	w.do("page boss", "GET", "/api/v1/organisations/"+w.orgID, nil).into(t, &view)
	if n := len(view.Decisions); n != 2 || view.Decisions[1].Status != providers.Suspended || view.Decisions[1].By != "" {
		t.Errorf("%+v", view.Decisions)
	}
}
