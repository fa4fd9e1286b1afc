package providers

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/xingfuma/happycode/app/store"
)

// ListedService is a service that an organisation says it has, as directories
// exchange it: without stock, so nothing is promised of it. An offer is.
type ListedService struct {
	ID          string   `json:"id"`
	NameZH      string   `json:"name_zh"`     // 1..200 characters
	NameEN      string   `json:"name_en"`     // up to 200
	Description string   `json:"description"` // up to 2,000
	Status      string   `json:"status"`      // active, inactive, defunct, temporarily closed
	URL         string   `json:"url"`         // http or https
	Eligibility string   `json:"eligibility"` // in words, up to 1,000
	Fees        string   `json:"fees"`        // in words, up to 500
	Places      []string `json:"places,omitempty"`
}

// ServiceStatuses are what the status of a listed service can be.
func ServiceStatuses() []string {
	return []string{"active", "inactive", "defunct", "temporarily closed"}
}

const maxServices = 200

// Listed is an organisation as another directory describes it.
type Listed struct {
	ID string // kept; a UUID
	NewOrganisation
	Profile
	Places   []Place
	Services []ListedService
}

// Took says what came of a [Listed] organisation.
type Took string

// What can come of it.
const (
	TookNew     Took = "new"
	TookChanged Took = "changed"
	TookSame    Took = "same"
)

// Take takes in an organisation that another directory describes. A new one waits
// for approval like any that joins; of one that is there, profile, places and
// services become what the directory says, and its status, kind and codes stay.
// Doing it again changes nothing. Errors: [FieldError]; [store.ErrDuplicate]
// where another organisation has the credit code.
func (s *Service) Take(ctx context.Context, by string, l Listed) (Took, error) {
	l.NewOrganisation.Contact = l.Profile.Contact
	o, err := s.checkOrganisation(l.NewOrganisation)
	if err != nil {
		return "", err
	}
	if err := s.checkListed(&l); err != nil {
		return "", err
	}
	now := store.Millis(s.config.Now())
	o.Meta, o.Status = store.Meta{ID: l.ID}, Pending
	o.CreatedMs, o.CreatedBy = now, by
	fill := func(o *Organisation) {
		o.DescriptionZH, o.DescriptionEN, o.Contact, o.Email, o.Website = l.DescriptionZH, l.DescriptionEN, l.Profile.Contact, l.Email, l.Website
		o.Serves, o.Places, o.Services = l.Serves, l.Places, l.Services
	}
	fill(o)
	old, err := s.orgs.Get(ctx, l.ID)
	if errors.Is(err, store.ErrNotFound) {
		if err := s.orgs.Insert(ctx, o); err != nil {
			return "", err
		}
		return TookNew, nil
	}
	if err != nil {
		return "", err
	}
	if old.CreditCode != o.CreditCode {
		return "", FieldError{"organization_identifiers", "与已登记的统一社会信用代码不同，请核对。", "The credit code is not the one that is registered: check it.", nil}
	}
	_, err = s.orgs.Change(ctx, l.ID, func(o *Organisation) error {
		before := *o
		for i := range l.Places { // what does not change keeps its time
			if p, err := o.Place(l.Places[i].ID); err == nil {
				l.Places[i].ChangedMs = p.ChangedMs
			}
		}
		fill(o)
		if same(before, *o) {
			return errUnchanged
		}
		o.ChangedMs = now
		return nil
	})
	if errors.Is(err, errUnchanged) {
		return TookSame, nil
	}
	return TookChanged, err
}

func same(a, b Organisation) bool {
	return reflect.DeepEqual(a.Profile(), b.Profile()) && reflect.DeepEqual(a.Places, b.Places) && reflect.DeepEqual(a.Services, b.Services)
}

func (s *Service) checkListed(l *Listed) error {
	if err := s.checkProfile(&l.Profile); err != nil {
		return err
	}
	if len(l.Places) > maxPlaces {
		return FieldError{"locations", fmt.Sprintf("一个机构最多 %d 个网点。", maxPlaces), fmt.Sprintf("An organisation has at most %d places.", maxPlaces), nil}
	}
	for i := range l.Places {
		if err := s.checkPlace(&l.Places[i]); err != nil {
			return within(fmt.Sprintf("locations[%d]", i), err)
		}
	}
	if len(l.Services) > maxServices {
		return FieldError{"services", fmt.Sprintf("一个机构最多 %d 项服务。", maxServices), fmt.Sprintf("An organisation has at most %d services.", maxServices), nil}
	}
	for i := range l.Services {
		if err := checkService(&l.Services[i]); err != nil {
			return within(fmt.Sprintf("services[%d]", i), err)
		}
	}
	return nil
}

// within names the thing whose field is at fault.
func within(what string, err error) error {
	var f FieldError
	if !errors.As(err, &f) {
		return err
	}
	f.Field = what + "." + f.Field
	return f
}

func checkService(x *ListedService) (err error) {
	if x.NameZH, err = text("name", "服务名称", "The name", x.NameZH, 1, 200); err != nil {
		return err
	}
	if x.NameEN, err = text("alternate_name", "别名", "The other name", x.NameEN, 0, 200); err != nil {
		return err
	}
	if x.Description, err = text("description", "说明", "The description", x.Description, 0, 2000); err != nil {
		return err
	}
	if x.Eligibility, err = text("eligibility_description", "条件", "The eligibility", x.Eligibility, 0, 1000); err != nil {
		return err
	}
	if x.Fees, err = text("fees_description", "费用", "The fees", x.Fees, 0, 500); err != nil {
		return err
	}
	if !slices.Contains(ServiceStatuses(), x.Status) {
		return FieldError{"status", "状态应为 active、inactive、defunct 或 temporarily closed。", "The status is active, inactive, defunct or temporarily closed.", nil}
	}
	if x.URL != "" && !strings.HasPrefix(x.URL, "https://") && !strings.HasPrefix(x.URL, "http://") {
		return FieldError{"url", "网址应以 https:// 开头。", "The address begins with https://.", nil}
	}
	return nil
}
