package residents

import "strings"

// Initial is what may be shown of a name where others look on, on cards and in
// queues: the first character and two stars. It is the same for every name, so
// that it says neither how long the name is nor where the family's part of it
// ends: 欧阳修 becomes 欧＊＊, 阿依古丽·买买提 becomes 阿＊＊.
func Initial(name string) string {
	const stars = "＊＊"
	for _, first := range strings.TrimSpace(name) {
		return string(first) + stars
	}
	return stars
}
