package residents

import "testing"

func TestInitial(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"张三": "张＊＊", "欧阳修": "欧＊＊", " 阿依古丽·买买提 ": "阿＊＊", "𠮷田": "𠮷＊＊", "Anna": "A＊＊", "": "＊＊"} {
		if got := Initial(name); got != want {
			t.Errorf("Initial(%q) = %q, want %q", name, got, want)
		}
	}
}
