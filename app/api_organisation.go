package app

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// profileRequest changes what is there; what is left out stays.
type profileRequest struct {
	DescriptionZH *string   `json:"description_zh" maxLength:"500"`
	DescriptionEN *string   `json:"description_en" maxLength:"500"`
	Contact       *string   `json:"contact" maxLength:"50" description:"Business phone."`
	Email         *string   `json:"email" maxLength:"200" description:"Of the office."`
	Website       *string   `json:"website" maxLength:"300"`
	Serves        *[]string `json:"serves" description:"Divisions in which it gives, 12-digit codes; its offers lie within them. Empty: anywhere."`
}

// placeView is where an organisation can be found.
type placeView struct {
	ID string `json:"id"`
	placeTerms
}

type placeTerms struct {
	NameZH    string          `json:"name_zh" required:"true" minLength:"2" maxLength:"100"`
	NameEN    string          `json:"name_en" maxLength:"200"`
	Division  string          `json:"division" required:"true" description:"12-digit code."`
	Address   string          `json:"address" required:"true" minLength:"2" maxLength:"200"`
	AddressEN string          `json:"address_en" maxLength:"200"`
	Phone     string          `json:"phone" maxLength:"50"`
	Latitude  *float64        `json:"latitude" minimum:"-90" maximum:"90" description:"Degrees; answers are WGS 84, to a millionth."`
	Longitude *float64        `json:"longitude" minimum:"-180" maximum:"180"`
	Hours     providers.Hours `json:"hours" description:"Minutes since midnight, China's time; weekday 1 is Monday. A date in except counts before its weekday; without spans it is closed."`
}

type placeRequest struct {
	placeTerms
	Datum providers.Datum `json:"datum" enum:",wgs84,gcj02" description:"System of latitude and longitude: wgs84 as satellites and phones give them (empty), gcj02 as maps in China show them."`
}

type placePath struct {
	Place string `path:"place"`
}

func viewPlace(p providers.Place) placeView {
	v := placeView{p.ID, placeTerms{
		NameZH: p.NameZH, NameEN: p.NameEN, Division: p.Division, Address: p.Address, AddressEN: p.AddressEN, Phone: p.Phone, Hours: p.Hours,
	}}
	if p.Located {
		lat, lng := p.At.Degrees()
		v.Latitude, v.Longitude = &lat, &lng
	}
	return v
}

func (a *App) changeOrganisation(c *fiber.Ctx) error {
	in, err := decode[profileRequest](c)
	if err != nil {
		return err
	}
	p := organisationOf(c).Profile()
	for _, x := range []struct{ to, from *string }{
		{&p.DescriptionZH, in.DescriptionZH}, {&p.DescriptionEN, in.DescriptionEN}, {&p.Contact, in.Contact}, {&p.Email, in.Email}, {&p.Website, in.Website},
	} {
		if x.from != nil {
			*x.to = *x.from
		}
	}
	if in.Serves != nil {
		p.Serves = *in.Serves
	}
	org, err := a.Providers.SetProfile(c.UserContext(), organisationOf(c).ID, p)
	if err != nil {
		return err
	}
	return c.JSON(organisationFor(principalOf(c))(org))
}

func (a *App) createPlace(c *fiber.Ctx) error {
	id := store.NewID()
	if key := c.Get("Idempotency-Key"); key != "" { // as for needs: a crash cannot double it
		id = "p" + hash(principalOf(c).Account, key)[:32]
	}
	p, err := a.putPlace(c, id)
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(viewPlace(p))
}

func (a *App) changePlace(c *fiber.Ctx) error {
	old, err := a.placeOf(c)
	if err != nil {
		return err
	}
	p, err := a.putPlace(c, old.ID)
	if err != nil {
		return err
	}
	return c.JSON(viewPlace(p))
}

// placeOf is the place that a path names besides the organisation.
func (a *App) placeOf(c *fiber.Ctx) (providers.Place, error) {
	p, err := organisationOf(c).Place(c.Params("place"))
	if errors.Is(err, store.ErrNotFound) {
		return p, errOutside
	}
	return p, err
}

func (a *App) putPlace(c *fiber.Ctx, id string) (providers.Place, error) {
	in, err := decode[placeRequest](c)
	if err != nil {
		return providers.Place{}, err
	}
	p := providers.Place{
		ID: id, NameZH: in.NameZH, NameEN: in.NameEN, Division: in.Division, Address: in.Address, AddressEN: in.AddressEN, Phone: in.Phone, Hours: in.Hours,
	}
	switch {
	case in.Latitude != nil && in.Longitude != nil:
		if in.Datum == "" {
			in.Datum = providers.WGS84
		}
		p.Located = true
		if p.At, err = providers.NewPoint(*in.Latitude, *in.Longitude, in.Datum); err != nil {
			return p, err
		}
	case in.Latitude != nil || in.Longitude != nil:
		return p, faultField.with(fieldFault{"latitude", words{"纬度和经度须一起填写", "give latitude and longitude together"}})
	}
	return a.savePlace(c, p)
}

// savePlace adds or changes a place of the organisation.
func (a *App) savePlace(c *fiber.Ctx, p providers.Place) (providers.Place, error) {
	org, err := a.Providers.SetPlace(c.UserContext(), organisationOf(c).ID, p)
	if err != nil {
		return p, err
	}
	concerns(c, org.ID+"/"+p.ID, "", org.Division)
	return org.Place(p.ID)
}

func (a *App) deletePlace(c *fiber.Ctx) error {
	if _, err := a.placeOf(c); err != nil {
		return err
	}
	if err := a.Providers.RemovePlace(c.UserContext(), organisationOf(c).ID, c.Params("place")); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}
