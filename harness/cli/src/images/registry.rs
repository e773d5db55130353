//! The images that products are started from, by product and variant.

use super::error::ImageError;

/// An image of a product: the official one, and its local equivalent.
#[derive(Debug, PartialEq, Eq)]
pub struct Image {
    /// As after `--on`, and as `mqproof images build` takes it: `rabbitmq@4.0`.
    pub name: &'static str,
    /// The system: `rabbitmq`.
    pub product: &'static str,
    /// What tells the images of one product apart: `4.0`.
    pub variant: &'static str,
    /// The product as its makers write it.
    pub title: &'static str,
    /// The version that a local build has, and the official image at least in its first numbers.
    pub version: &'static str,
    /// The official image; None: nobody publishes this variant.
    pub official: Option<&'static str>,
    /// The tag of the local build.
    pub local: &'static str,
    /// The environment variable that names another image.
    pub variable: &'static str,
}

/// All of them; the first of a product is its default.
pub static IMAGES: [Image; 6] = [
    Image {
        name: "kafka",
        product: "kafka",
        variant: "4.3.1",
        title: "Apache Kafka",
        version: "4.3.1",
        official: Some("apache/kafka:4.3.1"),
        local: "mqproof/kafka:4.3.1",
        variable: "MQPROOF_IMAGE_KAFKA",
    },
    Image {
        name: "rabbitmq",
        product: "rabbitmq",
        variant: "4.3",
        title: "RabbitMQ",
        version: "4.3.6",
        official: Some("rabbitmq:4.3-management"),
        local: "mqproof/rabbitmq:4.3",
        variable: "MQPROOF_IMAGE_RABBITMQ",
    },
    Image {
        name: "rabbitmq@4.0",
        product: "rabbitmq",
        variant: "4.0",
        title: "RabbitMQ",
        version: "4.0.5",
        official: Some("rabbitmq:4.0-management"),
        local: "mqproof/rabbitmq:4.0",
        variable: "MQPROOF_IMAGE_RABBITMQ_4_0",
    },
    Image {
        name: "rabbitmq@3.10",
        product: "rabbitmq",
        variant: "3.10",
        title: "RabbitMQ",
        version: "3.10.8",
        official: Some("rabbitmq:3.10-management"),
        local: "mqproof/rabbitmq:3.10",
        variable: "MQPROOF_IMAGE_RABBITMQ_3_10",
    },
    Image {
        name: "rocketmq",
        product: "rocketmq",
        variant: "5.5.0",
        title: "Apache RocketMQ",
        version: "5.5.0",
        official: Some("apache/rocketmq:5.5.0"),
        local: "mqproof/rocketmq:5.5.0",
        variable: "MQPROOF_IMAGE_ROCKETMQ",
    },
    // The released 5.5.0 forgets consumers' progress at a failover (apache/rocketmq#10284); this one does not.
    Image {
        name: "rocketmq@fastjson2",
        product: "rocketmq",
        variant: "fastjson2",
        title: "Apache RocketMQ",
        version: "5.5.0",
        official: None,
        local: "mqproof/rocketmq:5.5.0-fastjson2-2.0.61",
        variable: "MQPROOF_IMAGE_ROCKETMQ_FASTJSON2",
    },
];

/// The image of that name.
pub fn named(name: &str) -> Result<&'static Image, ImageError> {
    IMAGES.iter().find(|image| image.name == name).ok_or_else(|| unknown(name))
}

/// The image of a product's variant.
pub fn find(product: &str, variant: &str) -> Result<&'static Image, ImageError> {
    IMAGES
        .iter()
        .find(|image| image.product == product && image.variant == variant)
        .ok_or_else(|| unknown(&format!("{product}@{variant}")))
}

fn unknown(name: &str) -> ImageError {
    let known: Vec<String> = IMAGES.iter().map(|image| format!("`{}`", image.name)).collect();
    ImageError::UnknownName { name: name.to_owned(), known: known.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_tags_and_variables_are_unambiguous() {
        for key in [|image: &Image| image.name, |image: &Image| image.local, |image: &Image| image.variable] {
            assert_eq!(IMAGES.iter().map(key).collect::<BTreeSet<_>>().len(), IMAGES.len());
        }
    }

    #[test]
    fn a_name_is_what_stands_after_on() {
        for image in &IMAGES {
            let target: crate::conduct::Target = image.name.parse().expect("a target");
            assert_eq!(target.system.name(), image.product);
            assert!(target.profile.is_none_or(|profile| profile == image.variant));
        }
    }

    #[test]
    fn the_first_image_of_a_product_is_its_default() {
        for product in ["kafka", "rabbitmq", "rocketmq"] {
            let first = IMAGES.iter().find(|image| image.product == product).expect("an image");
            assert_eq!(first.name, product);
        }
        let old = find("rabbitmq", "3.10").expect("an image");
        assert_eq!(old.local, "mqproof/rabbitmq:3.10");
    }

    #[test]
    fn the_compose_file_starts_the_same_images_and_is_overridden_by_the_same_variables() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docker-compose.yml");
        let text = std::fs::read_to_string(path).expect("it is there");
        let named: BTreeSet<&str> =
            text.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
        let expected: Vec<String> = ["kafka", "rabbitmq", "rocketmq"]
            .into_iter()
            .map(|product| super::named(product).expect("an image"))
            .map(|image| format!("${{{}:-{}}}", image.variable, image.official.expect("it is published")))
            .collect();
        assert_eq!(named, expected.iter().map(String::as_str).collect());
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        for error in
            [named("rabbitmq@1.0").expect_err("unknown"), find("rabbitmq", "1.0").expect_err("unknown")]
        {
            let text = error.to_string();
            assert!(text.contains("`rabbitmq@1.0`") && text.contains("`rabbitmq@3.10`"), "{text}");
        }
    }
}
