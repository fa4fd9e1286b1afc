package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/documents"
	"github.com/xingfuma/happycode/app/photos"
	"github.com/xingfuma/happycode/app/store"
)

// documentSide is the longer side of a picture that is kept as a document, in
// pixels: small print on a licence stays readable.
const documentSide = 2400

type documentView struct {
	ID      string          `json:"id"`
	Kind    string          `json:"kind" enum:"licence,permit,fundraising,authorisation,other"`
	Label   string          `json:"label"`
	Type    string          `json:"type" enum:"application/pdf,image/jpeg"`
	Bytes   int64           `json:"bytes"`
	SHA256  string          `json:"sha256"`
	UntilMs int64           `json:"until_ms" description:"Valid until; 0: not stated."`
	AddedMs int64           `json:"added_ms"`
	AddedBy string          `json:"added_by"`
	State   documents.State `json:"state" enum:"kept,withdrawn,gone"`
	StateMs int64           `json:"state_ms"`
}

type documentForm struct {
	File    *multipart.FileHeader `formData:"file" required:"true" description:"PDF of up to 5 MB, or JPEG, PNG or WebP, which is kept as a new JPEG; known by its content, not by its name."`
	Kind    string                `formData:"kind" required:"true" enum:"licence,permit,fundraising,authorisation,other"`
	Label   string                `formData:"label" maxLength:"100"`
	UntilMs int64                 `formData:"until_ms" description:"Valid until; 0: not stated."`
}

type documentPath struct {
	Document string `path:"document" required:"true"`
}

func viewDocument(d *documents.Document) documentView {
	return documentView{d.ID, d.Kind, d.Label, d.Type, d.Bytes, d.SHA256, d.UntilMs, d.AddedMs, d.AddedBy, d.State, d.StateMs}
}

// documentsOf are the documents of the organisation that the one who asks may
// see: what was withdrawn is for administrators.
func (a *App) documentsOf(c *fiber.Ctx) ([]*documents.Document, error) {
	all, err := a.Documents.Of(c.UserContext(), organisationOf(c).ID)
	if err != nil || principalOf(c).Role == accounts.Admin {
		return all, err
	}
	var kept []*documents.Document
	for _, d := range all {
		if d.State == documents.Kept {
			kept = append(kept, d)
		}
	}
	return kept, nil
}

func (a *App) listDocuments(c *fiber.Ctx) error {
	all, err := a.documentsOf(c)
	if err != nil {
		return err
	}
	return c.JSON(listed(all, "", viewDocument))
}

func (a *App) createDocument(c *fiber.Ctx) error {
	until := int64(0)
	if s := c.FormValue("until_ms"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return faultField.with(fieldFault{"until_ms", words{"应为毫秒时间", "is a time in milliseconds"}})
		}
		until = n
	}
	d, err := a.addDocument(c, documents.NewDocument{Kind: typed(c.FormValue("kind")), Label: typed(c.FormValue("label")), UntilMs: until})
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(viewDocument(d))
}

// addDocument keeps the file of a form for the organisation.
func (a *App) addDocument(c *fiber.Ctx, n documents.NewDocument) (*documents.Document, error) {
	file, _, err := uploaded(c, "file")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	n.Organisation = organisationOf(c).ID
	limits := photos.Usual()
	if n.File, err = io.ReadAll(io.LimitReader(file, limits.Bytes+1)); err != nil {
		return nil, err
	}
	if documents.IsPDF(n.File) {
		n.Type, err = "application/pdf", documents.CheckPDF(n.File)
	} else {
		n.Type = "image/jpeg"
		n.File, err = a.redrawn(c.UserContext(), n.File)
	}
	if err != nil {
		return nil, err
	}
	d, err := a.Documents.Add(c.UserContext(), principalOf(c).Account, n)
	if err != nil {
		return nil, err
	}
	concerns(c, d.ID, "", organisationOf(c).Division)
	return d, nil
}

// redrawn makes a new JPEG of a picture, large enough to be read.
func (a *App) redrawn(ctx context.Context, file []byte) ([]byte, error) {
	jpeg, err := a.shrunk(ctx, bytes.NewReader(file), documentSide)
	switch {
	case errors.Is(err, faultPhoto):
		return nil, documents.CheckPDF(nil)
	case errors.Is(err, faultPhotoLarge):
		return nil, faultField.with(fieldFault{"file", faultPhotoLarge.detail})
	}
	return jpeg, err
}

// documentOf is the document that a path names besides the organisation, if the
// one who asks may see it.
func (a *App) documentOf(c *fiber.Ctx) (*documents.Document, error) {
	d, err := a.Documents.Get(c.UserContext(), c.Params("document"))
	if errors.Is(err, store.ErrNotFound) || err == nil &&
		(d.Organisation != organisationOf(c).ID || !d.Whole || d.State != documents.Kept && principalOf(c).Role != accounts.Admin) {
		return nil, errOutside
	}
	if err == nil {
		concerns(c, d.ID, "", organisationOf(c).Division)
	}
	return d, err
}

// getDocument sends a file that a stranger may have made: never to be shown in
// the page, never to be taken for something else.
func (a *App) getDocument(c *fiber.Ctx) error {
	d, err := a.documentOf(c)
	if err != nil {
		return err
	}
	file, err := a.Documents.File(c.UserContext(), d)
	if err != nil {
		return err
	}
	ending := ".pdf"
	if d.Type == "image/jpeg" {
		ending = ".jpg"
	}
	c.Set(fiber.HeaderContentType, d.Type)
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="`+d.Kind+"-"+d.AddedDay()+ending+`"`)
	c.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	return c.Send(file)
}

func (a *App) withdrawDocument(c *fiber.Ctx) error {
	d, err := a.documentOf(c)
	if err != nil {
		return err
	}
	if _, err := a.Documents.Withdraw(c.UserContext(), principalOf(c).Account, d.ID); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}
