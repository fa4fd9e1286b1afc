package app

import (
	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/documents"
	"github.com/xingfuma/happycode/app/pages"
	"github.com/xingfuma/happycode/providers"
)

func (a *App) documentsPage(c *fiber.Ctx) (pages.Documents, error) {
	base, err := a.ofOrganisation(c, "documents", "/documents")
	if err != nil {
		return pages.Documents{}, err
	}
	v := pages.Documents{OfOrganisation: base, Kinds: documents.Kinds()}
	all, err := a.documentsOf(c)
	if err != nil {
		return v, err
	}
	now := a.Now().UnixMilli()
	for _, d := range all {
		v.Rows = append(v.Rows, pages.DocumentRow{
			ID: d.ID, Kind: d.Kind, Label: d.Label, PDF: d.Type == "application/pdf", KB: (d.Bytes + 1023) / 1024, AddedMs: d.AddedMs, UntilMs: d.UntilMs,
			Over: d.UntilMs != 0 && d.UntilMs < now, State: string(d.State),
		})
	}
	return v, nil
}

func (a *App) showDocuments(c *fiber.Ctx) error {
	v, err := a.documentsPage(c)
	if err != nil {
		return err
	}
	return a.show(c, fiber.StatusOK, v)
}

func (a *App) saveDocument(c *fiber.Ctx) error {
	v, err := a.documentsPage(c)
	if err != nil {
		return err
	}
	for _, field := range []string{"kind", "label", "until"} { // of a form with files
		v.Values[field] = []string{typed(c.FormValue(field))}
	}
	n := documents.NewDocument{Kind: v.Value("kind"), Label: v.Value("label")}
	if v.Value("until") != "" {
		n.UntilMs = dayEnd(&v.Form, "until")
	}
	status := fiber.StatusBadRequest
	if len(v.Errors) == 0 {
		_, err := a.addDocument(c, n)
		if err == nil {
			return to(c, "/organisations/"+v.Org+"/documents", "document")
		}
		if status, err = a.refill(c, err, &v.Form, map[string]string{"until_ms": "until"}, nil); err != nil {
			return err
		}
	}
	return a.show(c, status, v)
}

func (a *App) saveDocumentWithdrawn(c *fiber.Ctx) error {
	d, err := a.documentOf(c)
	if err != nil {
		return err
	}
	if _, err := a.Documents.Withdraw(c.UserContext(), principalOf(c).Account, d.ID); err != nil {
		return err
	}
	return to(c, "/organisations/"+organisationOf(c).ID+"/documents", "document_withdrawn")
}

// showOrganisationHistory is what was decided about an organisation, by whom,
// when and why. The organisation reads that an administrator did it, and of
// where, but not who.
func (a *App) showOrganisationHistory(c *fiber.Ctx) error {
	base, err := a.ofOrganisation(c, "history", "/history")
	if err != nil {
		return err
	}
	org := organisationOf(c)
	v := pages.OrganisationHistory{OfOrganisation: base}
	names := actorNames{}
	for i := len(org.Decisions) - 1; i >= 0; i-- {
		d := org.Decisions[i]
		line := pages.DecisionLine{AtMs: d.AtMs, Status: string(d.Status), Note: d.Note, Again: d.Status == providers.Approved && i > 0}
		if principalOf(c).Role == accounts.Admin {
			if line.Who, err = a.actorName(c, names, d.By); err != nil {
				return err
			}
		}
		v.Lines = append(v.Lines, line)
	}
	v.Lines = append(v.Lines, pages.DecisionLine{AtMs: org.CreatedMs, Status: string(providers.Pending)})
	return a.show(c, fiber.StatusOK, v)
}
