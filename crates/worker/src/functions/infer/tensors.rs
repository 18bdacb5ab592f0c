//! Columns of a task as tensors of the Open Inference Protocol, and back.
//!
//! `{age: [61, 40]}` is an input `age` of two rows with one number each; `{x: [[1, 2], [3, 4]]}` one of two rows with
//! two; `{age: 61}` one of one row. Numbers go as FP32, which models of tables take; `{datatype: INT64, values: …}`
//! says otherwise.

use base::value::{array, as_array, as_object, as_str, get, int, object, parse, string};
use base::{Fault, Value};

use super::answer::Fields;

/// Lists within lists. Images in batches have four.
const DIMENSIONS_MAX: usize = 8;

/// The request, without its model.
pub(super) fn request(input: &Value) -> Result<Value, String> {
    let columns = as_object(input).into_iter().flat_map(|columns| columns.iter());
    let inputs = columns.map(|(name, column)| {
        let name = as_str(name).unwrap_or_default();
        tensor(name, column).map_err(|wrong| format!("the input `{name}`: {wrong}"))
    });
    Ok(object([("inputs", array(inputs.collect::<Result<Vec<_>, _>>()?))]))
}

fn tensor(name: &str, column: &Value) -> Result<Value, &'static str> {
    let (said, values) = match as_object(column) {
        None => (None, column),
        Some(_) => {
            let values = get(column, "values").ok_or("it has no `values`")?;
            (get(column, "datatype").and_then(as_str), values)
        }
    };
    let mut shape = Vec::new();
    let mut data = Vec::new();
    flatten(values, 0, &mut shape, &mut data)?;
    // A row of its own for each, as tables have them.
    match shape.len() {
        0 => shape.extend([1, 1]),
        1 => shape.push(1),
        _ => {}
    }
    let datatype = said.map_or_else(|| usual(&data), Ok)?;
    let shape = shape.into_iter().map(|count| int(i64::try_from(count).unwrap_or(i64::MAX)));
    Ok(object([
        ("name", string(name)),
        ("datatype", string(datatype)),
        ("shape", array(shape.collect())),
        ("data", array(data)),
    ]))
}

fn flatten(
    value: &Value,
    depth: usize,
    shape: &mut Vec<usize>,
    data: &mut Vec<Value>,
) -> Result<(), &'static str> {
    const RAGGED: &str = "its lists are not of one length";
    let Some(items) = as_array(value) else {
        if depth != shape.len() {
            return Err(RAGGED);
        }
        data.push(value.clone());
        return Ok(());
    };
    // The first row says how long all are, as long as nothing was taken.
    match shape.get(depth) {
        None if data.is_empty() && depth < DIMENSIONS_MAX => shape.push(items.len()),
        Some(length) if *length == items.len() => {}
        _ => return Err(RAGGED),
    }
    items.iter().try_for_each(|item| flatten(item, depth + 1, shape, data))
}

fn usual(data: &[Value]) -> Result<&'static str, &'static str> {
    let all = |is: fn(&Value) -> bool| data.iter().all(is);
    if data.is_empty() {
        Err("it has no values")
    } else if all(|it| matches!(it, Value::Num(_))) {
        Ok("FP32")
    } else if all(|it| as_str(it).is_some()) {
        Ok("BYTES")
    } else if all(|it| matches!(it, Value::Bool(_))) {
        Ok("BOOL")
    } else {
        Err("it has not only numbers, only texts or only truth values")
    }
}

/// Outputs by their names, in lists as their shapes say.
pub(super) fn outputs(body: &[u8]) -> Result<Fields, &'static str> {
    let answer = parse(body).map_err(|_| "it is not JSON")?;
    let outputs = get(&answer, "outputs").and_then(as_array).ok_or("it has no `outputs`")?;
    let named = outputs.iter().map(|output| {
        let name = get(output, "name").and_then(as_str).ok_or("it has an output without a name")?;
        let shape =
            get(output, "shape").and_then(as_array).ok_or("it has an output without a shape")?;
        let shape: Option<Vec<usize>> = shape.iter().map(count).collect();
        let data = get(output, "data").and_then(as_array).ok_or("it has an output without data")?;
        let nested = shape.and_then(|shape| nested(&shape, data));
        Ok((name, nested.ok_or("the shape of an output is not that of its data")?))
    });
    let named = named.collect::<Result<Vec<_>, &'static str>>()?;
    Ok(vec![("outputs", object(named))])
}

fn count(value: &Value) -> Option<usize> {
    base::value::as_i64(value).and_then(|count| usize::try_from(count).ok())
}

/// None where the data is not of that shape.
fn nested(shape: &[usize], data: &[Value]) -> Option<Value> {
    let [length, rest @ ..] = shape else {
        return data.first().filter(|_| data.len() == 1).cloned();
    };
    if rest.is_empty() {
        return (data.len() == *length).then(|| array(data.to_vec()));
    }
    if *length == 0 || data.is_empty() {
        return (data.is_empty()).then(|| array(Vec::new()));
    }
    let each = data.len() / length;
    let parts = (each * length == data.len()).then(|| data.chunks(each))?;
    Some(array(parts.map(|part| nested(rest, part)).collect::<Option<Vec<_>>>()?))
}

pub(super) fn wrong(why: &str) -> Fault {
    Fault::new(base::ErrorType::Validation, format!("`infer`: {why}"))
}

#[cfg(test)]
mod tests {
    use base::value::to_json_string;

    use super::*;

    fn check(input: &str, expected: &str) {
        let input = parse(input.as_bytes()).expect("JSON");
        let said = match request(&input) {
            Ok(request) => to_json_string(&request),
            Err(wrong) => wrong,
        };
        assert!(said.contains(expected), "{said}");
    }

    /// Mutation: lose a row, take ragged lists, or guess another datatype.
    #[test]
    fn columns_become_tensors() {
        check(
            r#"{"age":[61,40]}"#,
            r#"[{"name":"age","datatype":"FP32","shape":[2,1],"data":[61,40]}]"#,
        );
        check(r#"{"age":61}"#, r#""shape":[1,1],"data":[61]"#);
        check(r#"{"x":[[1,2.5],[3,4],[5,6]]}"#, r#""shape":[3,2],"data":[1,2.5,3,4,5,6]"#);
        check(r#"{"word":["a","b"]}"#, r#""datatype":"BYTES","shape":[2,1]"#);
        check(r#"{"on":[true]}"#, r#""datatype":"BOOL""#);
        check(r#"{"n":{"datatype":"INT64","values":[1]}}"#, r#""datatype":"INT64","shape":[1,1]"#);
        for ragged in ["[[1,2],[3]]", "[1,[2]]", "[[1],2]", "[[[1]],[2]]", "[[[[[[[[[1]]]]]]]]]"] {
            check(
                &format!(r#"{{"x":{ragged}}}"#),
                "the input `x`: its lists are not of one length",
            );
        }
        check(r#"{"x":[1,"a"]}"#, "not only numbers");
        check(r#"{"x":[]}"#, "no values");
    }

    /// Mutation: cut data in another way than its shape says, or take what does not fit.
    #[test]
    fn outputs_become_lists() {
        let read = |text: &str| {
            let fields = outputs(text.as_bytes());
            fields.map(|fields| to_json_string(&fields[0].1))
        };
        let one = r#"{"outputs":[{"name":"p","shape":[2,2],"data":[0.5,0.5,1,0]},{"name":"c","shape":[2],"data":[1,0]}]}"#;
        assert_eq!(read(one).as_deref(), Ok(r#"{"p":[[0.5,0.5],[1,0]],"c":[1,0]}"#));
        assert_eq!(
            read(r#"{"outputs":[{"name":"c","shape":[],"data":[7]}]}"#).as_deref(),
            Ok(r#"{"c":7}"#)
        );
        for wrong in ["[3]", "[2,3]", "[-1]", "[]", "[0,1]"] {
            let text = format!(r#"{{"outputs":[{{"name":"c","shape":{wrong},"data":[1,2]}}]}}"#);
            assert!(read(&text).is_err(), "{wrong}");
        }
        assert!(read("[]").is_err());
    }
}
