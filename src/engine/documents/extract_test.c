/* extract_test.c: what each format's text, title and marks look like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "base/utf8.h"
#include "engine/documents/documents.h"
#include "engine/documents/encoding.h"

struct sample {
    const char *uri, *type, *input;
    const char *title, *text;
};

static void check(const struct sample *sample) {
    struct tl_document_source source = {sample->uri, sample->type, sample->input, strlen(sample->input)};
    struct tl_extracted extracted;
    struct tl_error error = {TL_OK, ""};
    if (tl_document_extract(&source, &extracted, NULL, &error) != TL_OK)
        fail_msg("%s", error.message);
    assert_string_equal(extracted.text, sample->text);
    assert_int_equal(extracted.length, strlen(sample->text));
    assert_string_equal(extracted.title, sample->title);
    tl_extracted_fini(&extracted);
}

static void test_text(void **state) {
    (void)state;
    static const struct sample samples[] = {
        {"a/notes.txt", NULL, "One.\r\nTwo.  \rThree.\n\n\n\n\nFour.\n\n", "notes.txt", "One.\nTwo.\nThree.\n\nFour."},
        {"x", NULL, "\xef\xbb\xbf  indented\n\ttab", "x", "  indented\n\ttab"},
        {"x", NULL,
         "a\x01"
         "b\x1b[0mc\x7f \xc2\x85"
         "d\xc2\xad"
         "e",
         "x", "ab[0mc de"},
        {"x", NULL,
         "no\xc2\xa0"
         "break",
         "x", "no break"},
        {"dir/", NULL, "x", "dir", "x"},
        {"bad\xff"
         "name\n.txt",
         NULL, "x", "bad\xef\xbf\xbdname .txt", "x"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        check(&samples[i]);
}

static void test_html(void **state) {
    (void)state;
    static const struct sample samples[] = {
        {"p.html", NULL, "<title> The\n Title </title><h1>Head</h1><p>One <b>bold</b>\nword.<p>Two", "The Title",
         "Head\n\nOne bold word.\n\nTwo"},
        {"p.html", NULL, "<h1>Only a heading</h1><p>x", "Only a heading", "Only a heading\n\nx"},
        {"p.html", NULL, "<pre>\nint  x;\n\n\n  y();\n</pre>after", "p.html", "int  x;\n\n  y();\n\nafter"},
        {"p.html", NULL, "<ul><li>a<li><p>b</p><ul><li>c</ul><li></ul><ol><li>x<li>y</ol>end", "p.html",
         "- a\n- b\n\n- c\n\n1. x\n2. y\n\nend"},
        {"p.html", NULL, "<table><tr><th>A<th>B<tr><td>1<td>2</table>z", "p.html", "A\tB\n1\t2\n\nz"},
        {"p.html", NULL, "a<br>b<br/>c<hr>d", "p.html", "a\nb\nc\n\nd"},
        {"p.html", NULL, "&lt;&amp;&auml;&#228;&#xe4;&bogus; &nbsp; x&copy;", "p.html",
         "<&\xc3\xa4\xc3\xa4\xc3\xa4&bogus; x\xc2\xa9"},
        {"p.html", NULL, "2<sup>31</sup>-1, 1<sup>st</sup>", "p.html", "2^31-1, 1st"},
        {"p.html", NULL,
         "<script>var a='<p>no';</script><style>p{}</style><!-- no --><noscript>no</noscript>"
         "<svg><text>no</text></svg><button>no</button><select><option>no</select>yes",
         "p.html", "yes"},
        {"p.html", NULL,
         "<nav><ul><li>Home</ul></nav><div role=navigation>no</div><div class='menu main'>no</div>"
         "<div hidden>no</div><p style='color:red; display: NONE'>no</p><p aria-hidden=true>no</p>"
         "<main>yes</main><footer>no</footer>",
         "p.html", "yes"},
        {"p.html", NULL, "<div class=nosearch>Menu<h2>Kept</h2></div>x", "p.html", "Kept\n\nx"},
        {"p.html", NULL, "<body class=menu><nav>only navigation</nav>", "p.html", "only navigation"},
        {"p.html", NULL, "<div class=menus>not a menu</div>", "p.html", "not a menu"},
        {"page", NULL, "<!-- c -->\n<!DOCTYPE HTML><p>sniffed", "page", "sniffed"},
        {"page", "text/html; charset=koi8-r", "<p>\xf0\xd2", "page", "\xd0\x9f\xd1\x80"},
        {"p.html", NULL, "<meta charset='windows-1251'><p>\xcf\xf0", "p.html", "\xd0\x9f\xd1\x80"},
        {"p.html", NULL, "<p>caf\xe9 \x80", "p.html", "caf\xc3\xa9 \xe2\x82\xac"},
        {"p.html", NULL, "<meta charset=utf-7><p>caf\xe9 with a tail that is long enough", "p.html",
         "caf\xef\xbf\xbd with a tail that is long enough"},
        {"p.html", NULL, "<p>a</div></b></i>b<b><i>c</b>d</i></table>e", "p.html", "abcde"},
        {"p.html", NULL,
         "</p><p>one</body></html>\n<html><head><title>T</title></head><body class=menu>two</BODY></Html >three", "T",
         "one\n\ntwo\n\nthree"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        check(&samples[i]);
}

static void test_markdown(void **state) {
    (void)state;
    static const struct sample samples[] = {
        {"r.md", NULL, "Title\n=====\n\nSome *text* with `code` and [a link](http://x \"t\").\nSame line.  \nNext.\n",
         "Title", "Title\n\nSome text with code and a link. Same line.\nNext."},
        {"r.md", NULL, "---\ntitle: \"From matter\"\nx: y\n---\n# H\nx", "From matter", "H\n\nx"},
        {"r.md", NULL, "+++\ntitle = 'T'\n+++\nx", "T", "x"},
        {"r.md", NULL, "---\n\nno matter\n\n---\n", "r.md", "no matter"},
        {"r.md", NULL, "```c\nint main(void) {\n    return 0;\n}\n```\nafter", "r.md",
         "int main(void) {\n    return 0;\n}\n\nafter"},
        {"r.md", NULL, "- a\n- b\n  1. x\n  2. y\n\n> quote\n", "r.md", "- a\n- b\n1. x\n2. y\n\nquote"},
        {"r.md", NULL, "|A|B|\n|---|---|\n|1|2|\n", "r.md", "A\tB\n1\t2"},
        {"r.md", NULL,
         "a &amp; &auml; &#65; <b>bold</b> <!-- c -->\n\n<div>\n<p>html <script>no</script></p>\n</div>\n\nz", "r.md",
         "a & \xc3\xa4 A bold\n\nhtml\n\nz"},
        {"r.md", NULL, "![alt text](x.png) ~~gone~~ - [ ] x", "r.md", "alt text gone - [ ] x"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        check(&samples[i]);
}

static void test_marks(void **state) {
    (void)state;
    static const char input[] = "intro\n\n# One\n\ntext\n\n### Three *deep*\n\n##\n\nmore";
    struct tl_document_source source = {"m.md", NULL, input, sizeof input - 1};
    struct tl_extracted extracted;
    assert_int_equal(tl_document_extract(&source, &extracted, NULL, NULL), TL_OK);
    assert_int_equal(extracted.media, TL_MEDIA_MARKDOWN);
    assert_int_equal(extracted.mark_count, 2);
    assert_int_equal(extracted.marks[0].level, 1);
    assert_memory_equal(extracted.text + extracted.marks[0].offset, "One\n", 4);
    assert_int_equal(extracted.marks[0].length, 3);
    assert_int_equal(extracted.marks[1].level, 3);
    assert_memory_equal(extracted.text + extracted.marks[1].offset, "Three deep\n", 11);
    assert_int_equal(extracted.marks[1].length, 10);
    char hex[TL_SHA256_HEX_SIZE];
    tl_sha256_hex(input, sizeof input - 1, hex);
    assert_string_equal(extracted.digest, hex);
    tl_extracted_fini(&extracted);
}

#define BYTES(literal) literal, sizeof(literal) - 1

static void test_encodings(void **state) {
    (void)state;
    static const struct {
        const char *input;
        size_t length;
        const char *text;
        size_t repaired;
    } samples[] = {
        {BYTES("\xff\xfe"
               "h\0i\0\x3d\xd8\x00\xde"),
         "hi\xf0\x9f\x98\x80", 0},
        {BYTES("\xfe\xff\0h\0i\xd8\x3d\xde\x00"), "hi\xf0\x9f\x98\x80", 0},
        {BYTES("\xff\xfe"
               "a\0\x3d\xd8"
               "b\0c"),
         "a\xef\xbf\xbd"
         "b\xef\xbf\xbd",
         2},
        {BYTES("\xff\xfe\x3d\xd8"), "\xef\xbf\xbd", 1},
        {BYTES("a long enough text with one \xff broken byte"), "a long enough text with one \xef\xbf\xbd broken byte",
         1},
        {BYTES("cut off at the end of it \xf0\x9f\x98"),
         "cut off at the end of it \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 3},
        {BYTES("\xef\xbb\xbfmark"), "mark", 0},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct tl_utf8_text text;
        assert_int_equal(tl_encoding_to_utf8(samples[i].input, samples[i].length, NULL, &text, NULL), TL_OK);
        assert_int_equal(text.length, strlen(samples[i].text));
        assert_memory_equal(text.data, samples[i].text, text.length);
        assert_int_equal(text.repaired, samples[i].repaired);
        tl_utf8_text_fini(&text);
    }
}

static void test_media(void **state) {
    (void)state;
    static const struct {
        const char *name, *type, *data;
        enum tl_media media;
    } samples[] = {
        {"a.txt", NULL, "x", TL_MEDIA_TEXT},         {"a.MD", NULL, "x", TL_MEDIA_MARKDOWN},
        {"a.htm", NULL, "x", TL_MEDIA_HTML},         {"a.pdf", NULL, "x", TL_MEDIA_PDF},
        {"a.txt", NULL, "%PDF-1.4", TL_MEDIA_PDF},   {"a.md", "text/plain", "x", TL_MEDIA_TEXT},
        {"a.md", "Text/HTML;x", "x", TL_MEDIA_HTML}, {"a", "image/png", "x", TL_MEDIA_TEXT},
        {"a.c", NULL, "int x;", TL_MEDIA_TEXT},      {"a", NULL, "<?xml?>\n<html>", TL_MEDIA_HTML},
        {"a", NULL, "<htmlx>", TL_MEDIA_TEXT},       {"a", NULL, "see %PDF-1.4", TL_MEDIA_TEXT},
        {".md", NULL, "x", TL_MEDIA_TEXT},           {NULL, NULL, "x", TL_MEDIA_TEXT},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        assert_int_equal(tl_media_detect(samples[i].name, samples[i].type, samples[i].data, strlen(samples[i].data)),
                         samples[i].media);
    assert_int_equal(tl_media_detect("a.bin", NULL, "a\0b", 3), TL_MEDIA_BINARY);
}

static void test_print_uri(void **state) {
    (void)state;
    char out[64], small[12];
    assert_string_equal(tl_document_print_uri("a\nb\x1b\xff\xc3\xa4", out, sizeof out), "a\\nb\\x1b\\xff\xc3\xa4");
    assert_string_equal(tl_document_print_uri("abcdefghijkl", small, sizeof small), "abcdefgh...");
}

/* Nothing that the parsers or the writer do to random mixtures of tags breaks what documents.h says of the
 * text. */
static void test_random_markup(void **state) {
    (void)state;
    static const char *const parts[] = {
        "<div>",
        "</div>",
        "<p>",
        "<pre>",
        "</pre>",
        "<ul>",
        "<li>",
        "</ul>",
        "<ol>",
        "<table>",
        "<tr>",
        "<td>",
        "</table>",
        "<h1>",
        "</h1>",
        "<h3>",
        "<nav>",
        "</nav>",
        "<script>",
        "</script>",
        "<title>",
        "</title>",
        "<br>",
        "<sup>",
        "2",
        "&amp;",
        "&",
        "<",
        "<!--",
        "-->",
        "word ",
        " ",
        "\n",
        "\t",
        "\xc3\xa4",
        "\xff",
        "\xe2\x82",
        "# ",
        "```\n",
        "- ",
        "1. ",
        "> ",
        "|a|b|\n|-|-|\n",
        "***",
        "`",
        "[x](y)",
        "---\n",
        "    ",
        "<a href='",
        "'>",
        "\"",
        "<svg>",
        "<body>",
    };
    uint64_t random = 1;
    for (size_t round = 0; round < 3000; round++) {
        struct tl_str input = TL_STR_INIT;
        for (size_t i = 0; i < 40; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            tl_str_puts(&input, parts[(random >> 33) % (sizeof parts / sizeof parts[0])]);
        }
        struct tl_document_source source = {"x", round % 2 ? "text/html" : "text/markdown", input.data, input.length};
        struct tl_extracted extracted;
        if (tl_document_extract(&source, &extracted, NULL, NULL) == TL_OK) {
            const char *text = extracted.text;
            assert_true(tl_utf8_is_valid(text, extracted.length));
            assert_null(strstr(text, "\n\n\n"));
            assert_null(strstr(text, " \n"));
            assert_int_equal(strlen(text), extracted.length);
            assert_null(strchr(" \n\t", text[extracted.length - 1]));
            for (size_t i = 0; i < extracted.mark_count; i++) {
                assert_true(extracted.marks[i].offset + extracted.marks[i].length <= extracted.length);
                assert_true(i == 0 || extracted.marks[i - 1].offset <= extracted.marks[i].offset);
            }
            tl_extracted_fini(&extracted);
        }
        tl_str_fini(&input);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),      cmocka_unit_test(test_html),          cmocka_unit_test(test_markdown),
        cmocka_unit_test(test_marks),     cmocka_unit_test(test_encodings),     cmocka_unit_test(test_media),
        cmocka_unit_test(test_print_uri), cmocka_unit_test(test_random_markup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
