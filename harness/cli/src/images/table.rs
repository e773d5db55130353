//! `mqproof images list`: the images, where their names come from, and which of them are there.

use super::engine::Present;
use super::error::ImageError;
use super::registry::IMAGES;
use super::resolve::{Origin, candidates};

const HEAD: [&str; 6] = ["name", "product", "image", "from", "there", ""];

/// The table. `named` tells environment variables, `present` asks the engine.
pub fn table(
    named: impl Fn(&str) -> Option<String>,
    present: impl Fn(&str) -> Result<Option<Present>, ImageError>,
) -> Result<String, ImageError> {
    let mut rows: Vec<[String; 6]> = vec![HEAD.map(str::to_owned)];
    for image in &IMAGES {
        let mut is_chosen = false;
        for (at, (origin, reference)) in candidates(image, named(image.variable)).into_iter().enumerate() {
            let found = present(&reference)?;
            let is_used = found.is_some() && !is_chosen;
            is_chosen |= is_used;
            let version = found.as_ref().and_then(|found| found.version.as_deref()).unwrap_or(image.version);
            let title = format!("{} {version}", image.title);
            let from = match origin {
                Origin::Environment(variable) => variable.to_owned(),
                Origin::Official => "official image".to_owned(),
                Origin::LocalBuild => "local build".to_owned(),
            };
            let there = found.map_or("no".to_owned(), |found| format!("{} MB", found.bytes / 1_000_000));
            let used = if is_used { "used" } else { "" };
            let first = |text: &str| if at == 0 { text.to_owned() } else { String::new() };
            rows.push([first(image.name), title, reference, from, there, used.to_owned()]);
        }
    }
    Ok(aligned(&rows))
}

fn aligned(rows: &[[String; 6]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| -> String {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_is_there_what_is_used_and_where_a_name_comes_from() {
        let named =
            |variable: &str| (variable == "MQPROOF_IMAGE_ROCKETMQ").then(|| "corp/rocketmq:1".to_owned());
        let present = |reference: &str| {
            Ok(match reference {
                "apache/kafka:4.3.1" | "corp/rocketmq:1" => {
                    Some(Present { id: "sha256:1".into(), version: None, bytes: 432_100_000 })
                }
                "mqproof/kafka:4.3.1" | "mqproof/rabbitmq:4.0" => {
                    Some(Present { id: "sha256:2".into(), version: Some("7.7".into()), bytes: 597_000_000 })
                }
                _ => None,
            })
        };
        insta::assert_snapshot!(table(named, present).expect("a table"), @r#"
        name                product                image                                    from                    there
        kafka               Apache Kafka 4.3.1     apache/kafka:4.3.1                       official image          432 MB  used
                            Apache Kafka 7.7       mqproof/kafka:4.3.1                      local build             597 MB
        rabbitmq            RabbitMQ 4.3.6         rabbitmq:4.3-management                  official image          no
                            RabbitMQ 4.3.6         mqproof/rabbitmq:4.3                     local build             no
        rabbitmq@4.0        RabbitMQ 4.0.5         rabbitmq:4.0-management                  official image          no
                            RabbitMQ 7.7           mqproof/rabbitmq:4.0                     local build             597 MB  used
        rabbitmq@3.10       RabbitMQ 3.10.8        rabbitmq:3.10-management                 official image          no
                            RabbitMQ 3.10.8        mqproof/rabbitmq:3.10                    local build             no
        rocketmq            Apache RocketMQ 5.5.0  corp/rocketmq:1                          MQPROOF_IMAGE_ROCKETMQ  432 MB  used
        rocketmq@fastjson2  Apache RocketMQ 5.5.0  mqproof/rocketmq:5.5.0-fastjson2-2.0.61  local build             no
        "#);
    }

    #[test]
    fn trouble_with_the_engine_is_no_missing_image() {
        let refused = |_: &str| Err(ImageError::Engine { what: "image x".into(), why: "no".into() });
        assert!(table(|_| None, refused).is_err());
    }
}
