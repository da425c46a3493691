//! The contract once more, cell by cell and as literally as possible.
//!
//! Slow on purpose and without a line in common with the crate: the layout is
//! read off the pictures of the contract, the mask is computed when it is needed
//! and decoding turns whole matrices.

use std::fmt::Write as _;

/// Dark cells are `true`; rows from the top.
pub(crate) type Cells = Vec<Vec<bool>>;

/// `#` fixed dark, `.` fixed light, `+` payload, `x` never filled.
const VERSION_1: [&str; 21] = [
    "#######.x++++.#######",
    "#.....#.x++++.#.....#",
    "#.###.#.x++++.#.###.#",
    "#.###.#.x++++.#.###.#",
    "#.###.#.x++++.#.###.#",
    "#.....#.x++++.#.....#",
    "#######.#.#.#.#######",
    "........x++++........",
    "++++++#++++++++++++++",
    "++++++.++++++++++++++",
    "++++++#++++++++++++++",
    "++++++.++++++++++++++",
    "++++++#++++++++++++++",
    "........x++++++++++++",
    "#######.x++++++++++++",
    "#.....#.x++++++++++++",
    "#.###.#.x++++++++++++",
    "#.###.#.x++++++++++++",
    "#.###.#.x++++++++++++",
    "#.....#.x++++++++++++",
    "#######.x++++++++++++",
];

const VERSION_2: [&str; 25] = [
    "#######.x++++++++.#######",
    "#.....#.x++++++++.#.....#",
    "#.###.#.x++++++++.#.###.#",
    "#.###.#.x++++++++.#.###.#",
    "#.###.#.x++++++++.#.###.#",
    "#.....#.x++++++++.#.....#",
    "#######.#.#.#.#.#.#######",
    "........x++++++++........",
    "++++++#++++++++++++++++++",
    "++++++.++++++++++++++++++",
    "++++++#++++++++++++++++++",
    "++++++.++++++++++++++++++",
    "++++++#++++++++++++++++++",
    "++++++.++++++++++++++++++",
    "++++++#++++++++++++++++++",
    "++++++.++++++++++++++++++",
    "++++++#++++++++x#####++++",
    "........x++++++x#...#++++",
    "#######.x++++++x#.#.#++++",
    "#.....#.x++++++x#...#++++",
    "#.###.#.x++++++x#####++++",
    "#.###.#.x++++++++++++++++",
    "#.###.#.x++++++++++++++++",
    "#.....#.x++++++++++++++++",
    "#######.x++++++++++++++++",
];

const FINDER: [&str; 7] = [
    "#######", "#.....#", "#.###.#", "#.###.#", "#.###.#", "#.....#", "#######",
];

fn picture(side: usize) -> Vec<Vec<char>> {
    let rows: &[&str] = if side == 21 { &VERSION_1 } else { &VERSION_2 };
    rows.iter().map(|row| row.chars().collect()).collect()
}

/// Payload cells in fill order.
pub(crate) fn fill_order(side: usize) -> Vec<(usize, usize)> {
    let picture = picture(side);
    let rights = (0..side).rev().step_by(2).filter(|&right| right > 6);
    let mut order = Vec::new();
    for (i, right) in rights.chain([5, 3, 1]).enumerate() {
        let rows: Vec<usize> = if i % 2 == 0 {
            (0..side).rev().collect()
        } else {
            (0..side).collect()
        };
        for row in rows {
            if picture[row][right] == '+' && picture[row][right - 1] == '+' {
                order.extend([(row, right), (row, right - 1)]);
            }
        }
    }
    let payload = picture
        .iter()
        .flatten()
        .filter(|&&cell| cell == '+')
        .count();
    assert_eq!(order.len(), payload);
    order
}

fn parity(byte: u8) -> u8 {
    (0..8).fold(0, |parity, bit| parity ^ (byte >> bit & 1))
}

/// The plain symbol of a message in a given size.
pub(crate) fn symbol(message: &[u8], side: usize) -> Cells {
    let order = fill_order(side);
    let mut bytes = vec![u8::try_from(message.len()).expect("short")];
    for &byte in message {
        bytes.extend([byte, parity(byte)]);
    }
    let filler = [0xec, 0x11].into_iter().cycle();
    let bytes: Vec<u8> = bytes
        .into_iter()
        .chain(filler)
        .take(order.len().div_ceil(8))
        .collect();

    let mut cells: Cells = picture(side)
        .iter()
        .map(|row| row.iter().map(|&cell| cell == '#').collect())
        .collect();
    for (i, (row, col)) in order.into_iter().enumerate() {
        cells[row][col] = bytes[i / 8] >> (7 - i % 8) & 1 == 1;
    }
    cells
}

/// XORs the key stream over a matrix, row by row.
pub(crate) fn mask(cells: &mut Cells) {
    let mut x: f64 = 0.1;
    for (k, cell) in cells.iter_mut().flatten().enumerate() {
        if k > 0 && k % 8 == 0 {
            x = 4.0 * x * (1.0 - x);
        }
        let key = format!("{}", (x * 255.0).floor())
            .parse::<u8>()
            .expect("0 to 255");
        *cell ^= key >> (k % 8) & 1 == 1;
    }
}

pub(crate) fn hex_words(cells: &Cells) -> String {
    let flat: Vec<bool> = cells.iter().flatten().copied().collect();
    flat.chunks(32).fold(String::new(), |mut text, group| {
        let digits: String = group
            .iter()
            .map(|&dark| if dark { '1' } else { '0' })
            .collect();
        let value = u32::from_str_radix(&digits, 2).expect("binary digits");
        write!(text, "0x{value:x}").expect("a string takes everything");
        text
    })
}

pub(crate) fn encode(message: &[u8]) -> String {
    let mut cells = symbol(message, if message.len() <= 13 { 21 } else { 25 });
    mask(&mut cells);
    hex_words(&cells)
}

pub(crate) fn parse(text: &[u8]) -> Option<Cells> {
    let text: String = text.iter().map(|&byte| char::from(byte)).collect();
    let words: Vec<&str> = text.strip_prefix("0x")?.split("0x").collect();
    if words.len() != 32 {
        return None;
    }
    words
        .into_iter()
        .map(|digits| {
            let fits =
                (1..=8).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_hexdigit());
            let value = u32::from_str_radix(fits.then_some(digits)?, 16).ok()?;
            Some(format!("{value:032b}").chars().map(|c| c == '1').collect())
        })
        .collect()
}

/// A quarter turn counter-clockwise: the right column becomes the top row.
fn turn_back(cells: &Cells) -> Cells {
    let side = cells.len();
    (0..side)
        .map(|row| (0..side).map(|col| cells[col][side - 1 - row]).collect())
        .collect()
}

fn has_finder(cells: &Cells, top: usize, left: usize) -> bool {
    FINDER.iter().enumerate().all(|(row, picture)| {
        picture
            .chars()
            .enumerate()
            .all(|(col, cell)| cells[top + row][left + col] == (cell == '#'))
    })
}

/// The first placement that fits, by row, column, side and turn: its square,
/// turned upright.
fn locate(field: &Cells) -> Option<Cells> {
    for row in 0..32 {
        for col in 0..32 {
            for side in [21, 25] {
                if row + side > 32 || col + side > 32 {
                    continue;
                }
                let mut square: Cells = field[row..row + side]
                    .iter()
                    .map(|cells| cells[col..col + side].to_vec())
                    .collect();
                for _ in 0..4 {
                    let far = side - 7;
                    if has_finder(&square, 0, 0)
                        && has_finder(&square, 0, far)
                        && has_finder(&square, far, 0)
                    {
                        return Some(square);
                    }
                    square = turn_back(&square);
                }
            }
        }
    }
    None
}

fn read(square: &Cells) -> Option<Vec<u8>> {
    let side = square.len();
    let bits: Vec<bool> = fill_order(side)
        .into_iter()
        .map(|(row, col)| square[row][col])
        .collect();
    let bytes: Vec<u8> = bits
        .chunks_exact(8)
        .map(|bits| bits.iter().fold(0, |byte, &bit| byte * 2 + u8::from(bit)))
        .collect();
    let length = usize::from(bytes[0]);
    if length > if side == 21 { 13 } else { 22 } {
        return None;
    }
    bytes[1..=2 * length]
        .chunks_exact(2)
        .map(|pair| {
            (pair[1] == parity(pair[0]) && (0x20..=0x7e).contains(&pair[0])).then_some(pair[0])
        })
        .collect()
}

pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut field = parse(text)?;
    mask(&mut field);
    let square = locate(&field)?;
    read(&square)
}
