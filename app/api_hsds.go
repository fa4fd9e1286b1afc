package app

import (
	"context"
	"errors"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/hsds"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/providers"
)

// hsdsRoutes speak HSDS 3.1, with the paths and pages of its API.
func hsdsRoutes() []Route {
	api := func(r Route) Route { r.Path, r.Kind = apiPrefix+"/hsds"+r.Path, API; return r }
	return []Route{
		api(Route{Method: "GET", Path: "", Name: "getHSDS", Handler: (*App).getHSDS, Public: true,
			ZH: "HSDS 接口说明", EN: "What is spoken here of HSDS", Response: hsdsMeta{}}),
		api(Route{Method: "GET", Path: "/organizations", Name: "listHSDSOrganizations", Handler: (*App).listHSDSOrganizations, Roles: staff,
			ZH: "机构(HSDS 3.1)", EN: "Organisations as HSDS 3.1", Query: hsdsQuery{}, Response: hsdsPage[hsds.Organization]{}}),
		api(Route{Method: "GET", Path: "/organizations/:id", Name: "getHSDSOrganization", Handler: (*App).getHSDSOrganization, Roles: staff, Scope: ScopeOrganisation,
			ZH: "一个机构(HSDS 3.1)", EN: "One organisation as HSDS 3.1, with its locations", Response: hsds.Organization{}}),
		api(Route{Method: "GET", Path: "/services", Name: "listHSDSServices", Handler: (*App).listHSDSServices, Roles: staff,
			ZH: "在派资源与所列服务(HSDS 3.1)", EN: "Open offers and listed services as HSDS 3.1", Query: hsdsQuery{}, Response: hsdsPage[hsds.Service]{}}),
		api(Route{Method: "GET", Path: "/services/:id", Name: "getHSDSService", Handler: (*App).getHSDSService, Roles: staff,
			ZH: "一项服务(HSDS 3.1)，在派资源带余量", EN: "One service as HSDS 3.1; an offer with what is left", Response: hsds.Service{}}),
		api(Route{Method: "GET", Path: "/locations", Name: "listHSDSLocations", Handler: (*App).listHSDSLocations, Roles: staff,
			ZH: "网点(HSDS 3.1)", EN: "Places as HSDS 3.1", Query: hsdsQuery{}, Response: hsdsPage[hsds.Location]{}}),
		api(Route{Method: "POST", Path: "/import", Name: "importHSDS", Handler: (*App).importHSDS, Roles: admins, Upload: true, Purpose: "import_hsds",
			ZH: "导入 HSDS 3.1 机构(JSON)，导入的机构待审批", EN: "Take in organisations from HSDS 3.1 (JSON); they wait for approval", Response: hsds.Outcome{}}),
	}
}

type hsdsMeta struct {
	Version string `json:"version" required:"true"`
	Profile string `json:"profile" required:"true"`
	OpenAPI string `json:"openapi_url" required:"true"`
}

type hsdsQuery struct {
	Page           int    `query:"page" minimum:"1" default:"1"`
	PerPage        int    `query:"per_page" minimum:"1" maximum:"200" default:"50"`
	Full           bool   `query:"full" description:"With all that belongs to each."`
	OrganizationID string `query:"organization_id" description:"Services and locations of one organisation only."`
}

// hsdsPage is a page as the HSDS API has it.
type hsdsPage[T any] struct {
	TotalItems int  `json:"total_items" required:"true"`
	TotalPages int  `json:"total_pages" required:"true"`
	PageNumber int  `json:"page_number" required:"true"`
	Size       int  `json:"size" required:"true"`
	FirstPage  bool `json:"first_page" required:"true"`
	LastPage   bool `json:"last_page" required:"true"`
	Empty      bool `json:"empty" required:"true"`
	Contents   []T  `json:"contents" required:"true"`
}

func readHSDSQuery(c *fiber.Ctx) (hsdsQuery, error) {
	q := hsdsQuery{Page: 1, PerPage: 50, Full: c.QueryBool("full"), OrganizationID: c.Query("organization_id")}
	for _, x := range []struct {
		name string
		to   *int
		most int
	}{{"page", &q.Page, 1 << 20}, {"per_page", &q.PerPage, 200}} {
		if s := c.Query(x.name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil || n < 1 || n > x.most {
				return q, faultField.with(fieldFault{x.name, words{"应为 1 至 " + strconv.Itoa(x.most), "is from 1 to " + strconv.Itoa(x.most)}})
			}
			*x.to = n
		}
	}
	return q, nil
}

// hsdsPaged cuts the page out of all that may be seen, and describes only that.
func hsdsPaged[S, T any](q hsdsQuery, all []S, view func(S) T) hsdsPage[T] {
	pages := max(1, (len(all)+q.PerPage-1)/q.PerPage)
	from := min((q.Page-1)*q.PerPage, len(all))
	part := all[from:min(from+q.PerPage, len(all))]
	out := hsdsPage[T]{
		TotalItems: len(all), TotalPages: pages, PageNumber: q.Page, Size: len(part), FirstPage: q.Page == 1, LastPage: q.Page >= pages, Empty: len(part) == 0,
		Contents: make([]T, len(part)),
	}
	for i, x := range part {
		out.Contents[i] = view(x)
	}
	return out
}

// directory are the organisations that somebody may read of: a provider its
// own, others those that are approved and seated within their division, or
// give there.
func (a *App) directory(c *fiber.Ctx, organisation string) ([]*providers.Organisation, error) {
	ctx, p := c.UserContext(), principalOf(c)
	if p.Role == accounts.Provider {
		org, err := a.Providers.Get(ctx, p.Organisation)
		if err != nil || organisation != "" && organisation != org.ID {
			return nil, err
		}
		return []*providers.Organisation{org}, nil
	}
	var out []*providers.Organisation
	for after := ""; ; {
		page, next, err := a.Providers.List(ctx, providers.Approved, after, 200)
		if err != nil {
			return nil, err
		}
		for _, o := range page {
			if (organisation == "" || organisation == hsds.ID(o.ID)) && (p.Sees(o.Division) || len(o.Serves) > 0 && a.seesOffer(p, &providers.Offer{Divisions: o.Serves})) {
				out = append(out, o)
			}
		}
		if after = next; next == "" {
			return out, nil
		}
	}
}

// hsdsService is an offer, or a service that an organisation lists.
type hsdsService struct {
	org    *providers.Organisation
	offer  *providers.Offer
	listed providers.ListedService
}

func (x hsdsService) id() string {
	if x.offer != nil {
		return hsds.ID(x.offer.ID)
	}
	return hsds.ID(x.listed.ID)
}

// services are those of the directory and the open offers that somebody sees.
func (a *App) services(c *fiber.Ctx, organisation string) ([]hsdsService, error) {
	p, now := principalOf(c), a.Now().UnixMilli()
	orgs, err := a.directory(c, organisation)
	if err != nil {
		return nil, err
	}
	var out []hsdsService
	for _, org := range orgs {
		for _, s := range org.Services {
			out = append(out, hsdsService{org: org, listed: s})
		}
	}
	approved := map[string]bool{}
	err = a.Providers.OpenOffers(c.UserContext(), func(o *providers.Offer) error {
		until := int64(0)
		for _, l := range o.Lots {
			until = max(until, l.UntilMs)
		}
		if until <= now || !a.seesOffer(p, o) || organisation != "" && hsds.ID(o.Organisation) != organisation {
			return nil
		}
		if _, known := approved[o.Organisation]; !known {
			org, err := a.Providers.Get(c.UserContext(), o.Organisation)
			if err != nil {
				return err
			}
			approved[o.Organisation] = org.Status == providers.Approved
		}
		if approved[o.Organisation] {
			out = append(out, hsdsService{offer: o})
		}
		return nil
	})
	return out, err
}

func (a *App) hsdsWriter() hsds.Writer { return hsds.Writer{Tree: a.Tree()} }

func (a *App) viewHSDSService(full bool) func(hsdsService) hsds.Service {
	w, now := a.hsdsWriter(), a.Now()
	return func(x hsdsService) hsds.Service {
		if x.offer == nil {
			return w.Listed(x.org, x.listed, full)
		}
		return w.Offer(x.offer, groupNames(x.offer.Groups), now, full)
	}
}

// groupNames are the names of groups of residents, Chinese.
func groupNames(ids []string) []string {
	var out []string
	for _, g := range residents.Groups() {
		for _, id := range ids {
			if g.ID == id {
				out = append(out, g.ZH)
			}
		}
	}
	return out
}

func (a *App) getHSDS(c *fiber.Ctx) error {
	base := c.BaseURL()
	return c.JSON(hsdsMeta{hsds.Version, base + apiPrefix + "/hsds", base + apiPrefix + "/openapi.json"})
}

func (a *App) listHSDSOrganizations(c *fiber.Ctx) error {
	q, err := readHSDSQuery(c)
	if err != nil {
		return err
	}
	all, err := a.directory(c, q.OrganizationID)
	if err != nil {
		return err
	}
	w := a.hsdsWriter()
	return c.JSON(hsdsPaged(q, all, func(o *providers.Organisation) hsds.Organization { return w.Organization(o, q.Full) }))
}

func (a *App) getHSDSOrganization(c *fiber.Ctx) error {
	org := organisationOf(c)
	if org.Status != providers.Approved && principalOf(c).Role == accounts.Caseworker {
		return errOutside
	}
	return c.JSON(a.hsdsWriter().Organization(org, true))
}

func (a *App) listHSDSServices(c *fiber.Ctx) error {
	q, err := readHSDSQuery(c)
	if err != nil {
		return err
	}
	all, err := a.services(c, q.OrganizationID)
	if err != nil {
		return err
	}
	return c.JSON(hsdsPaged(q, all, a.viewHSDSService(q.Full)))
}

func (a *App) getHSDSService(c *fiber.Ctx) error {
	all, err := a.services(c, "")
	if err != nil {
		return err
	}
	for _, x := range all {
		if x.id() != c.Params("id") {
			continue
		}
		out := a.viewHSDSService(true)(x)
		if x.offer != nil {
			left, most, err := a.left(c.UserContext(), x.offer.ID)
			if err != nil {
				return err
			}
			out.Capacities = []hsds.Capacity{hsds.Left(x.offer, left, most, a.Now())}
		}
		return c.JSON(out)
	}
	return errOutside
}

// left is how much of an offer is free, of how much.
func (a *App) left(ctx context.Context, offer string) (free, most int64, err error) {
	stock, err := a.Care.Stock(ctx, offer)
	for _, s := range stock {
		free += s.FreeUnits
		most += s.QtyUnits
	}
	return free, most, err
}

// hsdsPlace is a place with whose it is.
type hsdsPlace struct {
	org   *providers.Organisation
	place providers.Place
}

func (a *App) listHSDSLocations(c *fiber.Ctx) error {
	q, err := readHSDSQuery(c)
	if err != nil {
		return err
	}
	orgs, err := a.directory(c, q.OrganizationID)
	if err != nil {
		return err
	}
	var all []hsdsPlace
	for _, o := range orgs {
		for _, p := range o.Places {
			all = append(all, hsdsPlace{o, p})
		}
	}
	w := a.hsdsWriter()
	return c.JSON(hsdsPaged(q, all, func(x hsdsPlace) hsds.Location { return w.Location(x.org, x.place) }))
}

// faultHSDS says that a file is no HSDS document.
var faultHSDS = &fault{status: 400, code: "bad_file", title: words{"文件无法读取", "The file cannot be read"},
	detail: words{"请上传 HSDS 3.1 的 JSON 文件，含 organizations。", "Send an HSDS 3.1 file (JSON) with organizations."}} // read only

func (a *App) importHSDS(c *fiber.Ctx) error {
	file, _, err := uploaded(c, "file")
	if err != nil {
		return err
	}
	defer file.Close()
	doc, err := hsds.Read(file)
	if errors.Is(err, hsds.ErrFile) {
		return faultHSDS
	}
	if err != nil {
		return err
	}
	p := principalOf(c)
	out, err := hsds.Taker{Providers: a.Providers, May: p.Sees}.Take(c.UserContext(), p.Account, doc)
	if err != nil {
		return err
	}
	return c.JSON(out)
}
