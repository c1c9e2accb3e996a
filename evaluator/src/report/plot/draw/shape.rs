//! What plots are made of. A shape has a class, for which [`super::style`] has colours and widths; [`super::svg`]
//! writes it as SVG.

/// One shape.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    /// What it is, and where. Coordinates are pixels from the upper left corner.
    pub form: Form,
    /// Names of styles, with spaces between them.
    pub class: String,
    /// What is shown where the pointer rests on it.
    pub title: Option<String>,
}

/// The kinds of shapes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Form {
    /// A straight line.
    Line([[f64; 2]; 2]),
    /// A rectangle with its upper left corner, width and height.
    Rectangle([f64; 2], [f64; 2]),
    /// A circle with its centre and radius.
    Circle([f64; 2], f64),
    /// A closed line of straight parts.
    Polygon(Vec<[f64; 2]>),
    /// An open line of straight parts.
    Polyline(Vec<[f64; 2]>),
    /// A band of one thickness that swings from one height to another: left and right end, upper edges there.
    Band([f64; 2], [f64; 2], f64),
    /// A line of text on the base line at its start, middle or end, which the class says.
    Text([f64; 2], String),
}

impl Shape {
    fn new(form: Form, class: &str) -> Self {
        Self { form, class: class.to_owned(), title: None }
    }

    /// The shape with a text for the pointer.
    pub(crate) fn titled(self, title: String) -> Self {
        Self { title: Some(title), ..self }
    }

    /// The shape, `by` further right and down.
    pub(crate) fn moved(mut self, by: [f64; 2]) -> Self {
        let shift = |point: &mut [f64; 2]| *point = [point[0] + by[0], point[1] + by[1]];
        match &mut self.form {
            Form::Line(points) => points.iter_mut().for_each(shift),
            Form::Rectangle(point, _) | Form::Circle(point, _) | Form::Text(point, _) => shift(point),
            Form::Polygon(points) | Form::Polyline(points) => points.iter_mut().for_each(shift),
            Form::Band(x, tops, _) => {
                *x = x.map(|x| x + by[0]);
                *tops = tops.map(|top| top + by[1]);
            }
        }
        self
    }
}

pub(crate) fn line(from: [f64; 2], to: [f64; 2], class: &str) -> Shape {
    Shape::new(Form::Line([from, to]), class)
}

pub(crate) fn rectangle(corner: [f64; 2], width: f64, height: f64, class: &str) -> Shape {
    Shape::new(Form::Rectangle(corner, [width, height]), class)
}

pub(crate) fn circle(centre: [f64; 2], radius: f64, class: &str) -> Shape {
    Shape::new(Form::Circle(centre, radius), class)
}

pub(crate) fn polygon(points: Vec<[f64; 2]>, class: &str) -> Shape {
    Shape::new(Form::Polygon(points), class)
}

pub(crate) fn polyline(points: Vec<[f64; 2]>, class: &str) -> Shape {
    Shape::new(Form::Polyline(points), class)
}

pub(crate) fn band(x: [f64; 2], tops: [f64; 2], thickness: f64, class: &str) -> Shape {
    Shape::new(Form::Band(x, tops, thickness), class)
}

pub(crate) fn text(x: f64, y: f64, class: &str, content: &str) -> Shape {
    Shape::new(Form::Text([x, y], content.to_owned()), class)
}
