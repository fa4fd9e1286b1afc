package app

import (
	"context"
	"errors"
	"mime/multipart"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/photos"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/qrcode"
)

// queueChoices is of how many offers and categories together a queue may be.
const queueChoices = 50

type queueRequest struct {
	Code       string   `json:"code" required:"true" description:"Address or digits of the happiness code, or the 12-digit card number."`
	Offers     []string `json:"offers" description:"What is handed over: offers, by id."`
	Categories []string `json:"categories" description:"Or every offer of these categories."`
	SinceMs    int64    `json:"since_ms" minimum:"0" description:"When the queue began, by the server's clock: whoever got an offer since then does not get it again. 0: only the caps decide."`
}

// queueView answers one scan in a queue. It names the person no further than
// those who stand around may know.
type queueView struct {
	Scan     string            `json:"scan" required:"true"`
	AtMs     int64             `json:"at_ms" required:"true"`
	Outcome  care.QueueOutcome `json:"outcome" required:"true" enum:"given,already,nothing,refused"`
	Resident string            `json:"resident" required:"true"`
	Initial  string            `json:"initial" required:"true" description:"First character of the name, the rest hidden."`
	CardTail string            `json:"card_tail" required:"true" description:"Last four digits of the card number."`
	Given    []queueItemView   `json:"given" required:"true" description:"Handed over by this scan."`
	Already  []queueItemView   `json:"already" required:"true" description:"Received today or since the queue began."`
	Refused  []queueItemView   `json:"refused" required:"true" description:"Due, but not handed over."`
	Reason   matching.Reason   `json:"reason" required:"true" description:"Why nothing is due, when nothing is."`
}

type queueItemView struct {
	Allocation   string          `json:"allocation" required:"true"`
	Offer        string          `json:"offer" required:"true"`
	TitleZH      string          `json:"title_zh" required:"true"`
	TitleEN      string          `json:"title_en" required:"true"`
	Category     string          `json:"category" required:"true"`
	Unit         string          `json:"unit" required:"true"`
	QtyUnits     int64           `json:"qty_units" required:"true"`
	LeftUnits    int64           `json:"left_units" required:"true" description:"Of the offer in this county, not handed over yet."`
	HandedOverMs int64           `json:"handed_over_ms" required:"true"`
	Reason       matching.Reason `json:"reason" required:"true" description:"Why it is due, or was given; of what is refused, why it was not handed over."`
}

type queueOffersView struct {
	AtMs  int64             `json:"at_ms" required:"true" description:"The server's time: since_ms of a queue that begins now."`
	Items []care.QueueOffer `json:"items" required:"true"`
}

type photoView struct {
	Code string `json:"code" required:"true" description:"The 193 digits of the happiness code, for a scan."`
}

func viewQueueItems(items []care.QueueItem) []queueItemView {
	out := make([]queueItemView, len(items))
	for i, x := range items {
		a := x.Allocation
		out[i] = queueItemView{
			Allocation: a.ID, Offer: a.Offer, TitleZH: a.TitleZH, TitleEN: a.TitleEN, Category: a.Category, Unit: a.Unit,
			QtyUnits: a.QtyUnits, LeftUnits: x.LeftUnits, HandedOverMs: a.HandedOverMs, Reason: a.Reason,
		}
		if x.Err != nil {
			f := faultOf(x.Err)
			out[i].Reason = matching.Reason{Code: f.code, ZH: f.detail.in("zh"), EN: f.detail.in("en")}
		}
	}
	return out
}

func (a *App) serveQueue(c *fiber.Ctx) error {
	in, err := decode[queueRequest](c)
	if err != nil {
		return err
	}
	if n := len(in.Offers) + len(in.Categories); n == 0 || n > queueChoices {
		return faultField.with(fieldFault{"offers", words{"请选择发放的资源，最多 50 项", "choose what is handed over, up to 50"}})
	}
	if in.SinceMs < 0 {
		return faultField.with(fieldFault{"since_ms", words{"不能为负", "is not negative"}})
	}
	r, err := a.Care.ServeQueue(c.UserContext(), principalOf(c), in.Code, care.Queue{Offers: in.Offers, Categories: in.Categories, SinceMs: in.SinceMs})
	if err != nil {
		a.metrics.scanned(nil, err)
		return err
	}
	a.metrics.scanned(r.Scan, nil)
	concerns(c, r.Scan.Resident.ID, r.Scan.Resident.ID, r.Scan.Resident.Division)
	for _, x := range r.Refused {
		if faultOf(x.Err) == faultInternal {
			a.Logger.Error("hand over in a queue", "request", requestID(c), "allocation", x.Allocation.ID, "error", x.Err)
		}
	}
	return c.JSON(queueView{
		Scan: r.Scan.Scan, AtMs: r.Scan.AtMs, Outcome: r.Outcome, Resident: r.Scan.Resident.ID, Initial: r.Initial, CardTail: r.CardTail,
		Given: viewQueueItems(r.Given), Already: viewQueueItems(r.Already), Refused: viewQueueItems(r.Refused), Reason: r.Reason,
	})
}

func (a *App) listQueueOffers(c *fiber.Ctx) error {
	items, err := a.Care.QueueOffers(c.UserContext(), principalOf(c))
	if err != nil {
		return err
	}
	if items == nil {
		items = []care.QueueOffer{}
	}
	return c.JSON(queueOffersView{AtMs: a.Now().UnixMilli(), Items: items})
}

var (
	faultNoCode = &fault{status: 422, code: "no_code", title: words{"没有找到幸福码", "No happiness code"},
		detail: words{"照片里没有找到幸福码。请靠近些、对好焦再拍一张，或输入卡号。", "No happiness code was found in the photo. Go closer, focus and take another, or type the card number."}}
	faultPicture = &fault{status: 400, code: "bad_picture", title: words{"照片无法读取", "The photo cannot be read"},
		detail: words{"请用 JPEG、PNG 或 WebP 照片，或输入卡号。", "Use a JPEG, PNG or WebP photo, or type the card number."}}
)

const (
	// photosAtOnce is how many photos are decoded at once: the largest take
	// some 100 MB for a moment, and as much again where a code is looked for.
	photosAtOnce = 2
	photoTime    = 15 * time.Second // that one may wait, and then take to decode
)

// photoTurn waits until a photo may be decoded; done lets the next one in.
// Errors: faultBusy when that takes longer than photoTime.
func (a *App) photoTurn(ctx context.Context) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, a.photoWait)
	defer cancel()
	select {
	case a.reading <- struct{}{}:
		return func() { <-a.reading }, nil
	case <-ctx.Done():
		return nil, faultBusy
	}
}

func (a *App) readPhoto(c *fiber.Ctx) error {
	code, err := a.photographed(c)
	if err != nil {
		return err
	}
	return c.JSON(photoView{Code: code})
}

// photographed is the code of ours in the photo that was sent; the photo is
// forgotten. Errors: faultNoCode, faultPicture,
// faultPhotoLarge, faultBusy.
func (a *App) photographed(c *fiber.Ctx) (string, error) {
	f, _, err := uploaded(c, "file")
	if err != nil {
		return "", err
	}
	defer f.Close()
	done, err := a.photoTurn(c.UserContext())
	if err != nil {
		return "", err
	}
	defer done()
	ctx, cancel := context.WithTimeout(c.UserContext(), photoTime)
	defer cancel()
	return codeInPhoto(ctx, f)
}

func codeInPhoto(ctx context.Context, f multipart.File) (string, error) {
	picture, err := photos.Decode(ctx, f, photos.Usual())
	switch {
	case errors.Is(err, photos.ErrTooLarge):
		return "", faultPhotoLarge
	case errors.Is(err, photos.ErrFormat):
		return "", faultPicture
	case err != nil:
		return "", err
	}
	text, err := qrcode.Read(picture)
	if errors.Is(err, qrcode.ErrNoCode) {
		return "", faultNoCode
	}
	if err != nil {
		return "", err
	}
	digits, err := qrcode.Extract(text)
	if err != nil {
		return "", faultNoCode
	}
	return digits, nil
}
