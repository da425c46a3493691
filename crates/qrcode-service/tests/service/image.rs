//! Pictures: the standard code is read back by an independent decoder, the own symbol by eye of
//! the contract's decoder.

use image::ImageReader;
use qrcode_core::{Message, Symbol};
use service_kit::testing::Answer;

use crate::start;

/// The picture's rows of pixels, true for dark.
fn pixels(answer: &Answer) -> (usize, Vec<bool>) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("image/png"));
    let png = std::io::Cursor::new(&answer.body);
    let picture = ImageReader::with_format(png, image::ImageFormat::Png)
        .decode()
        .expect("a PNG")
        .into_luma8();
    assert_eq!(picture.width(), picture.height());
    let width = usize::try_from(picture.width()).expect("a small picture");
    (
        width,
        picture.pixels().map(|pixel| pixel.0[0] < 128).collect(),
    )
}

/// What an independent reader sees.
fn read(answer: &Answer) -> Vec<u8> {
    let (width, dark) = pixels(answer);
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, width, |x, y| {
        if dark[y * width + x] { 0 } else { 255 }
    });
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1);
    let mut content = Vec::new();
    grids[0].decode_to(&mut content).expect("a readable code");
    content
}

#[test]
fn a_standard_code_is_read_back_by_another_decoder() {
    let service = start(&[]);
    let long = "0123456789abcdef".repeat(16);
    for data in ["hello", "CC Team is awesome, longer than 22 bytes!", &long] {
        let target = format!(
            "/qrcode/image?symbol=standard&scale=4&data={}",
            data.replace(' ', "+")
        );
        assert_eq!(read(&service.get(&target)), data.as_bytes());
    }
    let bytes = service.get("/qrcode/image?symbol=standard&data=%00%FF%E2%82%AC");
    assert_eq!(read(&bytes), b"\x00\xFF\xE2\x82\xAC");
}

#[test]
fn the_own_symbol_is_drawn_unmasked_with_a_quiet_zone() {
    let service = start(&[]);
    let message = Message::try_from(b"CC Team".as_slice()).expect("a message");
    let symbol = Symbol::new(&message);
    let (width, dark) = pixels(&service.get("/qrcode/image?data=CC%20Team&scale=3"));
    assert_eq!(width, (21 + 8) * 3);
    for (index, dark) in dark.iter().enumerate() {
        let (row, col) = (index / width / 3, index % width / 3);
        let inside = (4..25).contains(&row) && (4..25).contains(&col);
        let expected = inside && symbol.is_dark(row.wrapping_sub(4), col.wrapping_sub(4));
        assert_eq!(*dark, expected, "row {row}, column {col}");
    }
    let (width, _) = pixels(&service.get("/qrcode/image?data=CC%20Team"));
    assert_eq!(width, (21 + 8) * 8, "the default scale");
}

#[test]
fn an_svg_has_its_own_content_type() {
    let answer = start(&[]).get("/qrcode/image?data=CC%20Team&format=svg&scale=2");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("image/svg+xml"));
    assert!(answer.text().starts_with("<svg "));
    assert!(answer.text().contains("width=\"58\""));
}

#[test]
fn bad_parameters_get_400_and_one_line() {
    let service = start(&[]);
    for query in [
        "",
        "data=a&scale=99",
        "data=a&format=bmp",
        "data=%zz",
        "data=%0A",
    ] {
        let answer = service.get(&format!("/qrcode/image?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        let text = answer.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.ends_with('\n'));
    }
}
