package providers

import (
	"context"
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strings"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
)

// Profile is what an organisation says of itself to everybody. It holds nothing
// of people.
type Profile struct {
	DescriptionZH string `json:"description_zh"` // up to 500 characters
	DescriptionEN string `json:"description_en"` // up to 500
	Contact       string `json:"contact"`        // business phone, up to 50
	Email         string `json:"email"`          // of the office, up to 200
	Website       string `json:"website"`        // http or https, up to 300
	// Serves are the divisions in which it gives, 12-digit codes; its offers lie
	// within them. Empty: anywhere.
	Serves []string `json:"serves,omitempty"`
}

// Place is where an organisation can be found.
type Place struct {
	ID        string `json:"id"`
	NameZH    string `json:"name_zh"` // 2..100 characters
	NameEN    string `json:"name_en"` // up to 200
	Division  string `json:"division"`
	Address   string `json:"address"`    // up to 200, within the division
	AddressEN string `json:"address_en"` // up to 200
	Phone     string `json:"phone"`      // up to 50
	Located   bool   `json:"located"`    // At is known
	At        Point  `json:"at"`
	Hours     Hours  `json:"hours"`
	ChangedMs int64  `json:"changed_ms"`
}

const (
	maxPlaces = 200
	maxServes = 200
)

// SetProfile changes what an organisation says of itself. Contact is its own.
// Errors: [FieldError], [store.ErrNotFound].
func (s *Service) SetProfile(ctx context.Context, id string, p Profile) (*Organisation, error) {
	if err := s.checkProfile(&p); err != nil {
		return nil, err
	}
	return s.orgs.Change(ctx, id, func(o *Organisation) error {
		o.DescriptionZH, o.DescriptionEN, o.Contact = p.DescriptionZH, p.DescriptionEN, p.Contact
		o.Email, o.Website, o.Serves = p.Email, p.Website, p.Serves
		o.ChangedMs = store.Millis(s.config.Now())
		return nil
	})
}

// Profile is what the organisation says of itself.
func (o *Organisation) Profile() Profile {
	return Profile{o.DescriptionZH, o.DescriptionEN, o.Contact, o.Email, o.Website, o.Serves}
}

func (s *Service) checkProfile(p *Profile) (err error) {
	if p.DescriptionZH, err = text("description_zh", "简介", "The Chinese description", p.DescriptionZH, 0, 500); err != nil {
		return err
	}
	if p.DescriptionEN, err = text("description_en", "英文简介", "The English description", p.DescriptionEN, 0, 500); err != nil {
		return err
	}
	if p.Contact, err = text("contact", "联系电话", "The contact", p.Contact, 0, 50); err != nil {
		return err
	}
	p.Email = strings.TrimSpace(p.Email)
	if p.Email != "" {
		if a, err := mail.ParseAddress(p.Email); err != nil || a.Address != p.Email || len(p.Email) > 200 {
			return FieldError{"email", "请填写完整邮箱，例如 office@example.cn。", "Write a whole address such as office@example.cn.", nil}
		}
	}
	p.Website = strings.TrimSpace(p.Website)
	if p.Website != "" {
		u, err := url.Parse(p.Website)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || len(p.Website) > 300 {
			return FieldError{"website", "请填写完整网址，以 https:// 开头。", "Write a whole address that begins with https://.", nil}
		}
	}
	if len(p.Serves) > maxServes {
		return FieldError{"serves", fmt.Sprintf("最多 %d 个服务区划，请选上一级。", maxServes), fmt.Sprintf("At most %d divisions: choose a wider one.", maxServes), nil}
	}
	for i, code := range p.Serves {
		if !s.known(code) {
			return FieldError{fmt.Sprintf("serves[%d]", i), "找不到该区划，请从列表中选择。", "There is no such division: choose one from the list.", nil}
		}
	}
	p.Serves = widest(p.Serves)
	return nil
}

// serves refuses divisions that the organisation does not serve.
func (o *Organisation) serves(divisions []string) error {
	if len(o.Serves) == 0 {
		return nil
	}
	for i, d := range divisions {
		if !slices.ContainsFunc(o.Serves, func(s string) bool { return regions.Within(d, s) }) {
			return ErrOffer{fmt.Sprintf("divisions[%d]", i), "超出本机构的服务区划，请改选，或先在机构资料中扩大服务区划。",
				"Your organisation does not serve there: choose another, or first serve it in the organisation's profile.", nil}
		}
	}
	return nil
}

// Place finds a place of the organisation. Errors: [store.ErrNotFound].
func (o *Organisation) Place(id string) (Place, error) {
	for _, p := range o.Places {
		if p.ID == id {
			return p, nil
		}
	}
	return Place{}, fmt.Errorf("read place %s of organisation %s: %w", id, o.ID, store.ErrNotFound)
}

// SetPlace adds a place, or changes the one with its id; adding again under the
// same id changes nothing more. Errors: [FieldError], [store.ErrNotFound].
func (s *Service) SetPlace(ctx context.Context, id string, p Place) (*Organisation, error) {
	if err := s.checkPlace(&p); err != nil {
		return nil, err
	}
	p.ChangedMs = store.Millis(s.config.Now())
	return s.orgs.Change(ctx, id, func(o *Organisation) error {
		if i := slices.IndexFunc(o.Places, func(x Place) bool { return x.ID == p.ID }); i >= 0 {
			o.Places[i] = p
		} else if len(o.Places) >= maxPlaces {
			return FieldError{"name_zh", fmt.Sprintf("一个机构最多 %d 个网点，请先删去不用的。", maxPlaces), fmt.Sprintf("An organisation has at most %d places: remove one first.", maxPlaces), nil}
		} else {
			o.Places = append(o.Places, p)
		}
		o.ChangedMs = p.ChangedMs
		return nil
	})
}

// RemovePlace removes a place; again changes nothing. What offers say of where
// they are handed over stays. Errors: [store.ErrNotFound] for the organisation.
func (s *Service) RemovePlace(ctx context.Context, id, place string) error {
	_, err := s.orgs.Change(ctx, id, func(o *Organisation) error {
		left := slices.DeleteFunc(slices.Clone(o.Places), func(p Place) bool { return p.ID == place })
		if len(left) == len(o.Places) {
			return errUnchanged
		}
		o.Places, o.ChangedMs = left, store.Millis(s.config.Now())
		return nil
	})
	return unchangedIsFine(err)
}

func (s *Service) checkPlace(p *Place) (err error) {
	if p.NameZH, err = text("name_zh", "网点名称", "The name", p.NameZH, 2, 100); err != nil {
		return err
	}
	if p.NameEN, err = text("name_en", "英文名称", "The English name", p.NameEN, 0, 200); err != nil {
		return err
	}
	if !s.known(p.Division) {
		return FieldError{"division", "找不到该区划，请从列表中选择。", "There is no such division: choose one from the list.", nil}
	}
	if p.Address, err = text("address", "地址", "The address", p.Address, 2, 200); err != nil {
		return err
	}
	if p.AddressEN, err = text("address_en", "英文地址", "The English address", p.AddressEN, 0, 200); err != nil {
		return err
	}
	if p.Phone, err = text("phone", "电话", "The phone", p.Phone, 0, 50); err != nil {
		return err
	}
	if p.Located && (p.At.LatMicro < -90e6 || p.At.LatMicro > 90e6 || p.At.LngMicro < -180e6 || p.At.LngMicro > 180e6) {
		return FieldError{"coordinates", "坐标超出范围，请改正。", "The coordinates are out of range: correct them.", nil}
	}
	if !p.Located {
		p.At = Point{}
	}
	return p.Hours.check()
}
