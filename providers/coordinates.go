package providers

import (
	"math"
	"strconv"
	"strings"
)

// Datum says which system the numbers of a coordinate are in.
type Datum string

// The systems.
const (
	// WGS84 is what satellites and phones give, and what is kept.
	WGS84 Datum = "wgs84"
	// GCJ02 is what maps in China show (Amap, Tencent): up to 700 m from WGS84.
	GCJ02 Datum = "gcj02"
)

// Point is a place on the earth, WGS 84.
//
// Units: millionths of a degree, which are 11 cm at most.
// Range: latitude -90°..90°, longitude -180°..180°.
type Point struct {
	LatMicro int64 `json:"lat_micro"`
	LngMicro int64 `json:"lng_micro"`
}

// Degrees is latitude and longitude in degrees, WGS 84.
func (p Point) Degrees() (lat, lng float64) {
	return float64(p.LatMicro) / 1e6, float64(p.LngMicro) / 1e6
}

// GCJ02 is latitude and longitude in degrees as maps in China show them.
func (p Point) GCJ02() (lat, lng float64) { return toGCJ02(p.Degrees()) }

// NewPoint makes a point of degrees in one of the systems.
// Errors: [FieldError] for latitude, longitude or datum.
func NewPoint(lat, lng float64, d Datum) (Point, error) {
	switch {
	case !(lat >= -90 && lat <= 90): // not a number neither
		return Point{}, FieldError{"latitude", "纬度为 -90 至 90，请改正。", "A latitude is -90 to 90: correct it.", nil}
	case !(lng >= -180 && lng <= 180):
		return Point{}, FieldError{"longitude", "经度为 -180 至 180，请改正。", "A longitude is -180 to 180: correct it.", nil}
	case d != WGS84 && d != GCJ02:
		return Point{}, FieldError{"datum", "请选择坐标系：wgs84 或 gcj02。", "Choose the system of the coordinates: wgs84 or gcj02.", nil}
	}
	if d == GCJ02 {
		lat, lng = fromGCJ02(lat, lng)
	}
	return Point{int64(math.Round(lat * 1e6)), int64(math.Round(lng * 1e6))}, nil
}

// ParsePoint reads "latitude, longitude" in degrees, as maps copy them; a
// longitude that stands first, as Amap copies it, is known by being over 90.
// Errors: [FieldError] for coordinates.
func ParsePoint(s string, d Datum) (Point, error) {
	bad := FieldError{"coordinates", "请填写“纬度，经度”，例如 30.894410，120.086820。", "Write latitude and longitude, such as 30.894410, 120.086820.", nil}
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == '，' || r == ' ' || r == '\t' })
	if len(parts) != 2 {
		return Point{}, bad
	}
	lat, err := strconv.ParseFloat(parts[0], 64)
	if err != nil {
		return Point{}, bad
	}
	lng, err := strconv.ParseFloat(parts[1], 64)
	if err != nil {
		return Point{}, bad
	}
	if math.Abs(lat) > 90 && math.Abs(lng) <= 90 {
		lat, lng = lng, lat
	}
	p, err := NewPoint(lat, lng, d)
	if err != nil {
		return Point{}, bad
	}
	return p, nil
}

// toGCJ02 moves a point as the maps of China do; outside of China it stays.
// Source: the published reading of the method, as in eviltransform.
func toGCJ02(lat, lng float64) (float64, float64) {
	if lat < 0.8293 || lat > 55.8271 || lng < 72.004 || lng > 137.8347 {
		return lat, lng
	}
	const a, ee = 6378137.0, 0.00669342162296594323 // as the method has it
	x, y := lng-105, lat-35
	root, both := math.Sqrt(math.Abs(x)), x*y
	waves := (20*math.Sin(6*math.Pi*x) + 20*math.Sin(2*math.Pi*x)) * 2 / 3
	north := -100 + 2*x + 3*y + 0.2*y*y + 0.1*both + 0.2*root + waves +
		(20*math.Sin(math.Pi*y)+40*math.Sin(math.Pi*y/3)+160*math.Sin(math.Pi*y/12)+320*math.Sin(math.Pi*y/30))*2/3
	east := 300 + x + 2*y + 0.1*x*x + 0.1*both + 0.1*root + waves +
		(20*math.Sin(math.Pi*x)+40*math.Sin(math.Pi*x/3)+150*math.Sin(math.Pi*x/12)+300*math.Sin(math.Pi*x/30))*2/3
	sin := math.Sin(lat / 180 * math.Pi)
	m := 1 - ee*sin*sin
	return lat + north*180/(a*(1-ee)/(m*math.Sqrt(m))*math.Pi), lng + east*180/(a/math.Sqrt(m)*math.Cos(lat/180*math.Pi)*math.Pi)
}

// fromGCJ02 finds the point that toGCJ02 moves there, to a millionth of a degree.
func fromGCJ02(lat, lng float64) (float64, float64) {
	la, ln := lat, lng
	for range 8 {
		x, y := toGCJ02(la, ln)
		la, ln = la+lat-x, ln+lng-y
	}
	return la, ln
}
