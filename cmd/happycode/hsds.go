package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/xingfuma/happycode/app/hsds"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/providers"
)

func (p *program) hsds() *cobra.Command {
	c := &cobra.Command{
		Use:   "hsds",
		Short: "与其他名录交换机构、服务与网点（HSDS 3.1） / exchange organisations, services and places with other directories",
	}
	c.AddCommand(p.hsdsExport(), p.hsdsImport())
	return c
}

func (p *program) hsdsExport() *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "写出已批准的机构、在派资源与网点（JSON） / write approved organisations, open offers and places as JSON",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			w := hsds.Writer{Tree: s.tree.Load()}
			doc := hsds.Document{Organizations: []hsds.Organization{}, Services: []hsds.Service{}, Locations: []hsds.Location{}}
			approved := map[string]bool{}
			for after := ""; ; {
				page, next, err := s.providers.List(cmd.Context(), providers.Approved, after, 200)
				if err != nil {
					return err
				}
				for _, o := range page {
					approved[o.ID] = true
					doc.Organizations = append(doc.Organizations, w.Organization(o, true))
					for _, place := range o.Places {
						doc.Locations = append(doc.Locations, w.Location(o, place))
					}
					for _, x := range o.Services {
						doc.Services = append(doc.Services, w.Listed(o, x, true))
					}
				}
				if after = next; next == "" {
					break
				}
			}
			now := s.now()
			if err := s.providers.OpenOffers(cmd.Context(), func(o *providers.Offer) error {
				var groups []string
				for _, g := range residents.Groups() {
					for _, id := range o.Groups {
						if g.ID == id {
							groups = append(groups, g.ZH)
						}
					}
				}
				if x := w.Offer(o, groups, now, true); approved[o.Organisation] && x.Status == "active" {
					doc.Services = append(doc.Services, x)
				}
				return nil
			}); err != nil {
				return err
			}
			doc.Sort()
			e := json.NewEncoder(p.out)
			e.SetIndent("", "  ")
			e.SetEscapeHTML(false)
			return e.Encode(doc)
		},
	}
}

func (p *program) hsdsImport() *cobra.Command {
	return &cobra.Command{
		Use:   "import 文件-FILE.json",
		Short: "导入机构、服务与网点；新机构待审批 / take organisations, services and places in; new ones wait for approval",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return noFile(args[0], err)
			}
			defer f.Close()
			doc, err := hsds.Read(f)
			if errors.Is(err, hsds.ErrFile) {
				return say("文件不是 HSDS 3.1 的 JSON，或其中没有 organizations", "that is no HSDS 3.1 file (JSON) with organizations", err)
			}
			if err != nil {
				return err
			}
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			r, err := hsds.Taker{Providers: s.providers}.Take(cmd.Context(), byCommand, doc)
			if err != nil {
				return err
			}
			for _, b := range r.Bad {
				fmt.Fprintf(p.out, "%s %s %s：%s / %s\n", b.Path, b.ID, b.Field, b.ZH, b.EN)
			}
			fmt.Fprintf(p.out, "新增 new %d，更新 changed %d，未变 same %d，有误 bad %d\n", r.New, r.Changed, r.Same, len(r.Bad))
			return leftOut(len(r.Bad))
		},
	}
}
