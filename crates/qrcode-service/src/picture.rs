//! Pictures of symbols, for people: PNG and SVG, with a quiet zone.

use std::fmt::Write as _;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};
use qrcode::{Color, EcLevel, QrCode};
use qrcode_core::{EncodeError, Message, Symbol};
use service_kit::request::{BrokenEscape, Query, Value};

/// Light modules around a symbol; the standard asks for four.
const QUIET_ZONE: usize = 4;
/// Widest picture in pixels; bounds the memory of one to 16 MiB.
const MAX_PIXELS: usize = 4096;
const MAX_SCALE: usize = 32;
const DEFAULT_SCALE: usize = 8;

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// The contract's own symbol, unmasked.
    Tripod(Message),
    /// A QR code that any reader understands.
    Standard(Vec<u8>),
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Png,
    Svg,
}

/// A picture to be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageRequest {
    content: Content,
    format: Format,
    scale: usize,
}

/// Why no picture is drawn; the text is shown to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("data is missing: say what to draw")]
    NoData,
    #[error("{0}")]
    Escape(#[from] BrokenEscape),
    #[error("{0}; symbol=standard takes more")]
    Message(#[from] EncodeError),
    #[error("symbol must be tripod or standard")]
    Symbol,
    #[error("format must be png or svg")]
    Format,
    #[error("scale must be a whole number from 1 to {MAX_SCALE}")]
    Scale,
    #[error("the data is too long for a QR code, which holds up to 2953 bytes")]
    TooLong,
    #[error("the picture would be {0} pixels wide; use a scale up to {1}")]
    TooLarge(usize, usize),
    #[error("the picture could not be written")]
    Encoder,
}

impl ImageRequest {
    pub(crate) fn parse(query: Query<'_>) -> Result<Self, ImageError> {
        let [data, symbol, format, scale] = query.first(["data", "symbol", "format", "scale"]);
        let data = data.ok_or(ImageError::NoData)?.decode()?;
        let content = match choice(symbol)?.as_deref() {
            None | Some(b"tripod") => Content::Tripod(Message::try_from(data.as_ref())?),
            Some(b"standard") => Content::Standard(data.into_owned()),
            Some(_) => return Err(ImageError::Symbol),
        };
        let format = match choice(format)?.as_deref() {
            None | Some(b"png") => Format::Png,
            Some(b"svg") => Format::Svg,
            Some(_) => return Err(ImageError::Format),
        };
        let scale = match choice(scale)? {
            None => DEFAULT_SCALE,
            Some(text) => std::str::from_utf8(&text)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .filter(|scale| (1..=MAX_SCALE).contains(scale))
                .ok_or(ImageError::Scale)?,
        };
        Ok(Self {
            content,
            format,
            scale,
        })
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Draws the picture. Takes microseconds to some 100 ms, by size.
    pub(crate) fn draw(&self) -> Result<Vec<u8>, ImageError> {
        let modules = match &self.content {
            Content::Tripod(message) => Modules::of_symbol(&Symbol::new(message)),
            Content::Standard(data) => Modules::of_standard(data)?,
        };
        let width = modules.side * self.scale;
        match self.format {
            Format::Svg => Ok(modules.svg(width).into_bytes()),
            Format::Png if width > MAX_PIXELS => {
                let fits = MAX_PIXELS / modules.side;
                Err(ImageError::TooLarge(width, fits))
            }
            Format::Png => modules.png(self.scale),
        }
    }
}

/// A parameter that may be absent, decoded.
fn choice(value: Option<Value<'_>>) -> Result<Option<std::borrow::Cow<'_, [u8]>>, BrokenEscape> {
    value.map(Value::decode).transpose()
}

/// A square of modules, quiet zone included, row by row.
struct Modules {
    side: usize,
    dark: Vec<bool>,
}

impl Modules {
    fn with_quiet_zone(inner: usize, is_dark: impl Fn(usize, usize) -> bool) -> Self {
        let side = inner + 2 * QUIET_ZONE;
        let zone = QUIET_ZONE..QUIET_ZONE + inner;
        let mut dark = Vec::with_capacity(side * side);
        for row in 0..side {
            for col in 0..side {
                let inside = zone.contains(&row) && zone.contains(&col);
                dark.push(inside && is_dark(row - QUIET_ZONE, col - QUIET_ZONE));
            }
        }
        Self { side, dark }
    }

    fn of_symbol(symbol: &Symbol) -> Self {
        Self::with_quiet_zone(symbol.side(), |row, col| symbol.is_dark(row, col))
    }

    /// With medium error correction where the data fits, else with low.
    fn of_standard(data: &[u8]) -> Result<Self, ImageError> {
        let code = QrCode::with_error_correction_level(data, EcLevel::M)
            .or_else(|_| QrCode::with_error_correction_level(data, EcLevel::L))
            .map_err(|_| ImageError::TooLong)?;
        let width = code.width();
        let colors = code.to_colors();
        Ok(Self::with_quiet_zone(width, |row, col| {
            colors.get(row * width + col) == Some(&Color::Dark)
        }))
    }

    fn png(&self, scale: usize) -> Result<Vec<u8>, ImageError> {
        let width = self.side * scale;
        let mut pixels = Vec::with_capacity(width * width);
        for row in self.dark.chunks(self.side) {
            let start = pixels.len();
            for dark in row {
                let shade = if *dark { 0 } else { 255 };
                pixels.extend(std::iter::repeat_n(shade, scale));
            }
            for _ in 1..scale {
                pixels.extend_from_within(start..start + width);
            }
        }
        let width = u32::try_from(width).map_err(|_| ImageError::Encoder)?;
        let mut png = Vec::new();
        PngEncoder::new(&mut png)
            .write_image(&pixels, width, width, ExtendedColorType::L8)
            .map_err(|_| ImageError::Encoder)?;
        Ok(png)
    }

    /// One path of horizontal runs; its coordinates are modules, its size is pixels.
    fn svg(&self, width: usize) -> String {
        let side = self.side;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{width}\" \
             viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
             <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path fill=\"#000\" d=\""
        );
        for (row, modules) in self.dark.chunks(side).enumerate() {
            let mut col = 0;
            for run in modules.chunk_by(|a, b| a == b) {
                if run.first() == Some(&true) {
                    let _ = write!(svg, "M{col} {row}h{}v1h-{}z", run.len(), run.len());
                }
                col += run.len();
            }
        }
        svg.push_str("\"/></svg>\n");
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<ImageRequest, ImageError> {
        ImageRequest::parse(Query(query.as_bytes()))
    }

    #[test]
    fn draws_the_plain_symbol_as_a_png_of_scale_8_unless_told_otherwise() {
        let request = parse("data=CC%20Team").unwrap();
        assert!(matches!(request.content, Content::Tripod(_)));
        assert_eq!((request.format, request.scale), (Format::Png, 8));
    }

    #[test]
    fn says_what_is_wrong_with_a_parameter() {
        for (query, error) in [
            ("", ImageError::NoData),
            ("data=%", ImageError::Escape(BrokenEscape)),
            ("data=a&symbol=aztec", ImageError::Symbol),
            ("data=a&format=gif", ImageError::Format),
            ("data=a&scale=0", ImageError::Scale),
            ("data=a&scale=33", ImageError::Scale),
            ("data=a&scale=%2B1", ImageError::Scale),
            ("data=a&scale=", ImageError::Scale),
            ("data=%0A", ImageError::Message(EncodeError::Character)),
        ] {
            assert_eq!(parse(query), Err(error), "{query}");
        }
    }

    #[test]
    fn a_picture_has_a_limit_and_the_refusal_names_a_scale_that_fits() {
        let data = "a".repeat(2953);
        let request = parse(&format!("data={data}&symbol=standard&scale=32")).unwrap();
        assert_eq!(request.draw(), Err(ImageError::TooLarge(5920, 22)));
        let request = parse(&format!("data={data}&symbol=standard&scale=22")).unwrap();
        assert!(request.draw().is_ok());
        let request = parse(&format!("data={data}a&symbol=standard")).unwrap();
        assert_eq!(request.draw(), Err(ImageError::TooLong));
    }

    #[test]
    fn svg_and_modules_show_the_same_cells() {
        let message = Message::try_from(b"CC Team is awesome!".as_slice()).unwrap();
        let modules = Modules::of_symbol(&Symbol::new(&message));
        let svg = modules.svg(10);
        let mut cells = vec![false; modules.side * modules.side];
        let path = svg.rsplit("d=\"").next().unwrap();
        for run in path.split('M').skip(1) {
            let mut numbers = run
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|number| number.parse::<usize>().ok());
            let mut next = || numbers.next().unwrap();
            let (col, row, length) = (next(), next(), next());
            for cell in &mut cells[row * modules.side + col..][..length] {
                *cell = true;
            }
        }
        assert_eq!(cells, modules.dark);
    }
}
