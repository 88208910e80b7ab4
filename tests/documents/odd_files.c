/* odd_files.c: how each odd document is made, and what is expected of it. */
#include "documents/odd_files.h"

#include <stdint.h>
#include <string.h>

static void repeat(struct tl_str *out, const char *text, size_t times) {
    for (size_t i = 0; i < times; i++)
        tl_str_puts(out, text);
}

/* ---- text ---- */

static void make_empty(struct tl_str *out) {
    (void)out;
}

static void make_only_mark(struct tl_str *out) {
    tl_str_puts(out, "\xef\xbb\xbf");
}

static void make_only_mark_utf16(struct tl_str *out) {
    tl_str_puts(out, "\xff\xfe");
}

static void make_only_blanks(struct tl_str *out) {
    repeat(out, " \t\r\n\f\v", 100000);
}

static void make_only_controls(struct tl_str *out) {
    repeat(out, "\x01\x02\x1b\x7f", 1000);
}

static void make_one_line(struct tl_str *out) {
    for (size_t i = 0; out->length < 100000000; i++)
        tl_str_printf(out, "word%zu and some more ", i % 100000);
    tl_str_puts(out, "finis");
}

static void make_one_word(struct tl_str *out) {
    repeat(out, "abcdefghijklmnopqrstuvwxyz", 400000);
}

static void make_wide_blanks(struct tl_str *out) {
    tl_str_puts(out, "left");
    repeat(out, " ", 1000000);
    tl_str_puts(out, "right");
}

static void make_broken_utf8(struct tl_str *out) {
    tl_str_puts(out, "A text of which a few bytes are broken: \xff\xfe, \xc3, \xed\xa0\x80, \xf0\x9f, \xc0\xaf. ");
    repeat(out, "The rest of it is perfectly well-formed. ", 20);
}

static void make_cut_utf8(struct tl_str *out) {
    repeat(out, "Text that is cut in the last character ", 3);
    tl_str_puts(out, "\xf0\x9f\x98");
}

static void make_latin1(struct tl_str *out) {
    repeat(out,
           "caf\xe9 na\xefve \xfc"
           "ber \xe4\xf6\xfc\xdf ",
           100);
}

static void make_utf16(struct tl_str *out) {
    tl_str_append(out, "\xff\xfe", 2);
    for (size_t i = 0; i < 500; i++)
        tl_str_append(out, "t\0e\0x\0t\0 \0\x3d\xd8\x00\xde \0", 16);
}

static void make_utf16_odd(struct tl_str *out) {
    tl_str_append(out, "\xfe\xff\0o\0d\0d\xd8\0\0 \xdc\0\0", 15);
}

static void make_utf32(struct tl_str *out) {
    tl_str_append(out, "\xff\xfe\0\0t\0\0\0e\0\0\0", 12);
}

static void make_nul_at_end(struct tl_str *out) {
    repeat(out, "text ", 1000);
    tl_str_append(out, "\0", 1);
}

static void make_elf(struct tl_str *out) {
    tl_str_append(out,
                  "\x7f"
                  "ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\x3e\0\1\0\0\0",
                  24);
    repeat(out, "\x48\x89\xe5\xc3", 1000);
}

static void make_noise(struct tl_str *out) {
    uint64_t random = 7;
    for (size_t i = 0; i < 50000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        tl_str_putc(out, (char)(1 + (random >> 33) % 255)); /* no NUL: not told by that */
    }
}

static void make_crlf(struct tl_str *out) {
    repeat(out, "One line.\r\nAnother.\rA third.\n", 1000);
}

static void make_long_words(struct tl_str *out) {
    for (size_t i = 1; i < 400; i++) {
        repeat(out, "x", i * 3);
        tl_str_putc(out, ' ');
    }
}

static void make_emoji(struct tl_str *out) {
    repeat(out, "👨‍👩‍👧‍👦🏳️‍🌈👍🏽🇩🇪", 3000);
}

static void make_right_to_left(struct tl_str *out) {
    repeat(out, "שלום עולם! \xe2\x80\xaeمرحبا بالعالم\xe2\x80\xac؟ ", 500);
}

static void make_combining(struct tl_str *out) {
    tl_str_puts(out, "Z");
    repeat(out, "\xcc\xb5\xcc\x8d\xcd\x86", 20000);
    tl_str_puts(out, "algo");
}

static void make_joiners(struct tl_str *out) {
    repeat(out, "\xe2\x80\x8d\xef\xb8\x8f\xe2\x80\x8b", 5000);
}

static void make_ideographs(struct tl_str *out) {
    repeat(out, "数据库管理系统（英語：Database）は、データを管理する。", 2000);
}

static void make_noncharacters(struct tl_str *out) {
    repeat(out, "\xef\xbf\xbe\xef\xbf\xbf\xf4\x8f\xbf\xbf\xee\x80\x80 ", 1000);
}

static void make_short(struct tl_str *out) {
    tl_str_puts(out, "x");
}

/* ---- Markdown ---- */

static void make_headings(struct tl_str *out) {
    repeat(out, "# h\n", 1000000);
}

static void make_long_heading(struct tl_str *out) {
    tl_str_puts(out, "# ");
    repeat(out, "endless heading ", 50000);
    tl_str_puts(out, "\n\ntext");
}

static void make_deep_quotes(struct tl_str *out) {
    repeat(out, "> ", 100000);
    tl_str_puts(out, "deep");
}

static void make_deep_lists(struct tl_str *out) {
    for (size_t depth = 0; depth < 1000; depth++) {
        repeat(out, "  ", depth);
        tl_str_puts(out, "- item\n");
    }
}

static void make_links(struct tl_str *out) {
    repeat(out, "[", 50000);
    repeat(out, "![a](", 50000);
    repeat(out, "*a _b", 50000);
}

static void make_wide_table(struct tl_str *out) {
    repeat(out, "|a", 20000);
    tl_str_puts(out, "\n");
    repeat(out, "|---", 20000);
    tl_str_puts(out, "\n");
    repeat(out, "|\n", 200000);
}

static void make_link_bomb(struct tl_str *out) {
    tl_str_puts(out, "[a]: ");
    repeat(out, "u", 1000000);
    tl_str_puts(out, "\n\n");
    repeat(out, "[a] ", 100000);
}

static void make_unclosed_code(struct tl_str *out) {
    tl_str_puts(out, "```\nint unclosed;\n");
}

static void make_only_front_matter(struct tl_str *out) {
    tl_str_puts(out, "---\ntitle: nothing else\n---\n");
}

/* ---- HTML ---- */

static void make_deep(struct tl_str *out) {
    repeat(out, "<div>", 100000);
    tl_str_puts(out, "bottom");
    repeat(out, "</div>", 100000);
}

static void make_deep_crossed(struct tl_str *out) {
    tl_str_puts(out, "<b><div>");
    repeat(out, "<i>", 100000);
    repeat(out, "</b>", 100000);
}

static void make_unclosed(struct tl_str *out) {
    repeat(out, "<table><tr><td><ul><li><b><p>cell ", 5000);
}

static void make_closing(struct tl_str *out) {
    repeat(out, "</div></p></table></body></html>", 20000);
    tl_str_puts(out, "text after all");
}

static void make_many_attributes(struct tl_str *out) {
    tl_str_puts(out, "<p ");
    for (size_t i = 0; i < 500000; i++)
        tl_str_printf(out, "a%zu=1 ", i);
    tl_str_puts(out, ">text");
}

static void make_huge_attribute(struct tl_str *out) {
    tl_str_puts(out, "<img src='data:");
    repeat(out, "0123456789", 2000000);
    tl_str_puts(out, "'>text");
}

static void make_unclosed_attribute(struct tl_str *out) {
    tl_str_puts(out, "before <a href=\"");
    repeat(out, "text > more < ", 100000);
}

static void make_entities(struct tl_str *out) {
    tl_str_puts(out, "<!DOCTYPE html [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]><p>");
    repeat(out, "&b;&amp;&#0;&#x110000;&#xd800;&#99999999999;&", 20000);
}

static void make_external_entity(struct tl_str *out) {
    tl_str_puts(out, "<!DOCTYPE html [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><html><p>&x; text</html>");
}

static void make_only_script(struct tl_str *out) {
    tl_str_puts(out, "<html><script>");
    repeat(out, "if (a<b && c>d) document.write('<p>no</p>');\n", 10000);
    tl_str_puts(out, "</script></html>");
}

static void make_unclosed_comment(struct tl_str *out) {
    tl_str_puts(out, "<p>before<!-- ");
    repeat(out, "never closed -> ", 100000);
}

static void make_less_than(struct tl_str *out) {
    repeat(out, "<", 1000000);
}

static void make_html_nul(struct tl_str *out) {
    tl_str_append(out, "<p>a\0b", 6);
}

static void make_html_utf16(struct tl_str *out) {
    static const char page[] = "<title>wide</title><p>text in sixteen bits";
    tl_str_append(out, "\xfe\xff", 2);
    for (size_t i = 0; i < sizeof page - 1; i++) {
        tl_str_append(out, "\0", 1);
        tl_str_putc(out, page[i]);
    }
}

static void make_frames(struct tl_str *out) {
    tl_str_puts(out, "<html><frameset><frame src=x><noframes>no</noframes></frameset></html>");
}

/* ---- PDF ---- */

void odd_pdf(struct tl_str *out, const char *stream, size_t length) {
    size_t offsets[6];
    size_t start = out->length;
    tl_str_puts(out, "%PDF-1.4\n");
    static const char *const objects[] = {
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> "
        ">>",
        NULL,
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    };
    for (size_t i = 0; i < 5; i++) {
        offsets[i] = out->length - start;
        if (objects[i] != NULL) {
            tl_str_printf(out, "%zu 0 obj\n%s\nendobj\n", i + 1, objects[i]);
            continue;
        }
        tl_str_printf(out, "4 0 obj\n<< /Length %zu >>\nstream\n", length);
        tl_str_append(out, stream, length);
        tl_str_puts(out, "\nendstream\nendobj\n");
    }
    offsets[5] = out->length - start;
    tl_str_puts(out, "xref\n0 6\n0000000000 65535 f \n");
    for (size_t i = 0; i < 5; i++)
        tl_str_printf(out, "%010zu 00000 n \n", offsets[i]);
    tl_str_printf(out, "trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%zu\n%%%%EOF\n", offsets[5]);
}

static const char page[] = "BT /F1 12 Tf 50 700 Td (A page of a PDF.) Tj ET";

static void make_pdf(struct tl_str *out) {
    odd_pdf(out, page, sizeof page - 1);
}

static void make_pdf_truncated(struct tl_str *out) {
    odd_pdf(out, page, sizeof page - 1);
    tl_str_truncate(out, out->length / 2);
}

static void make_pdf_header(struct tl_str *out) {
    tl_str_puts(out, "%PDF-1.7\n");
}

static void make_pdf_noise(struct tl_str *out) {
    tl_str_puts(out, "%PDF-1.7\n");
    make_noise(out);
}

static void make_pdf_empty_page(struct tl_str *out) {
    odd_pdf(out, "", 0);
}

static void make_pdf_loop(struct tl_str *out) {
    tl_str_puts(out, "%PDF-1.4\n1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj\n"
                     "2 0 obj << /Type /Pages /Kids [2 0 R 2 0 R] /Count 999999999 >> endobj\n"
                     "trailer << /Root 1 0 R >>\n");
}

static void make_pdf_many_words(struct tl_str *out) {
    struct tl_str stream = TL_STR_INIT;
    tl_str_puts(&stream, "BT /F1 1 Tf ");
    for (size_t i = 0; i < 20000; i++)
        tl_str_printf(&stream, "1 0 0 1 %zu %zu Tm (w%zu) Tj ", i % 600, i / 600 * 2, i);
    tl_str_puts(&stream, "ET");
    odd_pdf(out, stream.data, stream.length);
    tl_str_fini(&stream);
}

/* One empty page, encrypted (RC4, 128 bits) with a password. */
static void make_pdf_encrypted(struct tl_str *out) {
    tl_str_puts(out, "%PDF-1.3\n1 0 obj\n<<\n/Producer <b561d4bc49>\n>>\nendobj\n"
                     "2 0 obj\n<<\n/Type /Pages\n/Count 1\n/Kids [ 4 0 R ]\n>>\nendobj\n"
                     "3 0 obj\n<<\n/Type /Catalog\n/Pages 2 0 R\n>>\nendobj\n"
                     "4 0 obj\n<<\n/Type /Page\n/Resources <<\n>>\n/MediaBox [ 0.0 0.0 200 200 ]\n/Parent 2 0 "
                     "R\n>>\nendobj\n"
                     "5 0 obj\n<<\n/V 2\n/R 3\n/Length 128\n/P 4294967292\n/Filter /Standard\n"
                     "/O <0e522925a3e4e874c3cfacbef511a73ac4ec2bd865dcd3d4627614917abfd7e8>\n"
                     "/U <ad17aa9d7e7d07cb85b7b51b74ff19aa28bf4e5e4e758a4164004e56fffa0108>\n>>\nendobj\n"
                     "trailer\n<<\n/Size 6\n/Root 3 0 R\n/Info 1 0 R\n"
                     "/ID [ <233eaa31f7fade82ce19d286f7653849> <233eaa31f7fade82ce19d286f7653849> ]\n/Encrypt 5 0 "
                     "R\n>>\n");
}

static void make_not_pdf(struct tl_str *out) {
    tl_str_puts(out, "This is a text whose name lies.");
}

#define READ(contains) ODD_READ, TL_OK, contains
#define SKIP(status, contains) ODD_SKIP, TL_ERR_##status, contains
#define EITHER ODD_EITHER, TL_OK, NULL

/* clang-format off */
const struct odd_file odd_files[] = {
    {"empty.txt", make_empty, SKIP(INVALID, "is empty")},
    {"mark.txt", make_only_mark, SKIP(INVALID, "holds no text")},
    {"mark16.txt", make_only_mark_utf16, SKIP(INVALID, "holds no text")},
    {"blanks.txt", make_only_blanks, SKIP(INVALID, "holds no text")},
    {"controls.txt", make_only_controls, SKIP(INVALID, "holds no text")},
    {"short.txt", make_short, READ("x")},
    {"one-line.txt", make_one_line, READ("finis")},
    {"one-word.txt", make_one_word, READ("xyzabc")},
    {"wide-blanks.txt", make_wide_blanks, READ("right")},
    {"broken-utf8.txt", make_broken_utf8, READ("\xef\xbf\xbd, ")},
    {"cut-utf8.txt", make_cut_utf8, READ("character \xef\xbf\xbd")},
    {"latin1.txt", make_latin1, SKIP(UNSUPPORTED, "is no UTF-8 text")},
    {"utf16.txt", make_utf16, READ("text \xf0\x9f\x98\x80 text")},
    {"utf16-odd.txt", make_utf16_odd, READ("odd\xef\xbf\xbd")},
    {"utf32.txt", make_utf32, SKIP(UNSUPPORTED, "is binary")},
    {"nul.txt", make_nul_at_end, SKIP(UNSUPPORTED, "a NUL at byte 5000")},
    {"program", make_elf, SKIP(UNSUPPORTED, "is binary")},
    {"elf.html", make_elf, SKIP(UNSUPPORTED, "is binary")},
    {"noise", make_noise, SKIP(UNSUPPORTED, "is no UTF-8 text")},
    {"noise.md", make_noise, SKIP(UNSUPPORTED, "is no UTF-8 text")},
    {"noise.html", make_noise, EITHER},
    {"crlf.txt", make_crlf, READ("line.\nAnother.\nA third.")},
    {"long-words.txt", make_long_words, READ("xxx")},
    {"emoji.txt", make_emoji, READ("🇩🇪👨‍👩‍👧‍👦")},
    {"rtl.txt", make_right_to_left, READ("שלום")},
    {"combining.txt", make_combining, READ("algo")},
    {"joiners.txt", make_joiners, EITHER},
    {"ideographs.txt", make_ideographs, READ("データを管理する。")},
    {"noncharacters.txt", make_noncharacters, READ("\xee\x80\x80")},
    {"a\nname\twith\x01" "controls.txt", make_short, READ("x")},
    {"-rf --help.md", make_short, READ("x")},
    {"bad\xff\xfename", make_short, READ("x")},
    {"name with 'quotes\" $(and) `more`;.pdf", make_pdf, READ("A page of a PDF.")},

    {"headings.md", make_headings, READ("h\n\nh")},
    {"long-heading.md", make_long_heading, READ("text")},
    {"quotes.md", make_deep_quotes, READ("deep")},
    {"lists.md", make_deep_lists, READ("- item")},
    {"links.md", make_links, EITHER},
    {"table.md", make_wide_table, SKIP(LIMIT, "is no usual Markdown")},
    {"link-bomb.md", make_link_bomb, SKIP(LIMIT, "is no usual Markdown")},
    {"code.md", make_unclosed_code, READ("int unclosed;")},
    {"matter.md", make_only_front_matter, SKIP(INVALID, "holds no text")},

    {"deep.html", make_deep, READ("bottom")},
    {"crossed.html", make_deep_crossed, SKIP(LIMIT, "is no usual HTML")},
    {"unclosed.html", make_unclosed, READ("cell")},
    {"closing.html", make_closing, READ("text after all")},
    {"attributes.html", make_many_attributes, SKIP(LIMIT, "is no usual HTML")},
    {"attribute.html", make_huge_attribute, READ("text")},
    {"attribute-open.html", make_unclosed_attribute, EITHER},
    {"entities.html", make_entities, READ("&b;&")},
    {"external.html", make_external_entity, READ("text")},
    {"script.html", make_only_script, SKIP(INVALID, "holds no text")},
    {"comment.html", make_unclosed_comment, READ("before")},
    {"less.html", make_less_than, EITHER},
    {"nul.html", make_html_nul, SKIP(UNSUPPORTED, "is binary")},
    {"utf16.html", make_html_utf16, READ("text in sixteen bits")},
    {"frames.html", make_frames, SKIP(INVALID, "holds no text")},

    {"good.pdf", make_pdf, READ("A page of a PDF.")},
    {"-", make_pdf, READ("A page of a PDF.")},
    {"truncated.pdf", make_pdf_truncated, EITHER},
    {"header.pdf", make_pdf_header, SKIP(INVALID, "is a broken PDF (pdftotext: ")},
    {"noise.pdf", make_pdf_noise, SKIP(INVALID, "is a broken PDF (pdftotext: ")},
    {"blank.pdf", make_pdf_empty_page, SKIP(INVALID, "ocrmypdf")},
    {"loop.pdf", make_pdf_loop, EITHER},
    {"words.pdf", make_pdf_many_words, READ("w")},
    {"locked.pdf", make_pdf_encrypted, SKIP(INVALID, "is protected by a password")},
    {"empty.pdf", make_empty, SKIP(INVALID, "is empty")},
    {"liar.pdf", make_not_pdf, SKIP(INVALID, "is a broken PDF")},

    /* made by the test itself */
    {"directory", NULL, SKIP(UNSUPPORTED, "is a directory")},
    {"fifo.txt", NULL, SKIP(UNSUPPORTED, "is a FIFO")},
    {"socket", NULL, SKIP(UNSUPPORTED, "is a socket")},
    {"device", NULL, SKIP(UNSUPPORTED, "is a device")},
    {"dangling.txt", NULL, SKIP(NOT_FOUND, "cannot be read: No such file")},
    {"circle.txt", NULL, SKIP(NOT_FOUND, "cannot be read: Too many levels")},
    {"memory", NULL, SKIP(IO, "cannot be read")},
    {"status", NULL, READ("VmPeak")},
    {"missing.txt", NULL, SKIP(NOT_FOUND, "cannot be read: No such file")},
    {"secret.txt", NULL, SKIP(IO, "cannot be opened: Permission denied")},
    {"sparse.txt", NULL, SKIP(LIMIT, "more than the limit of")},
};
/* clang-format on */
const size_t odd_file_count = sizeof odd_files / sizeof odd_files[0];
