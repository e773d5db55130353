//! What each local build is made of. The files are part of the binary, so that it works outside of a checkout.

/// A local build.
pub struct Recipe {
    /// Its tag.
    pub tag: &'static str,
    /// How it is made.
    pub source: Source,
}

/// How a local build is made.
pub enum Source {
    /// A minimal Debian.
    Debian {
        /// The suite: `trixie`.
        suite: &'static str,
        /// The official image that takes its place where it is there already.
        instead: &'static str,
    },
    /// A Dockerfile on top of another local build.
    Dockerfile {
        /// The tag of that build.
        base: &'static str,
        /// Name and text of each file, the Dockerfile among them.
        files: &'static [(&'static str, &'static str)],
        /// Build arguments.
        arguments: &'static [(&'static str, &'static str)],
        /// The Maven profile whose jars lie in `libs`, as `pom.xml` says.
        jars: Option<&'static str>,
    },
}

/// The script that makes a minimal Debian.
pub const MAKE_DEBIAN: &str = include_str!("../../images/base/make.sh");

const TRIXIE: &str = "mqproof/base:trixie";
const BOOKWORM: &str = "mqproof/base:bookworm";
const JAVA: &str = "mqproof/java:21";

macro_rules! files {
    ($dir:literal: $($name:literal),+) => {
        &[$(($name, include_str!(concat!("../../images/", $dir, "/", $name)))),+]
    };
}

const RABBITMQ: &[(&str, &str)] =
    files!("rabbitmq": "Dockerfile", "10-defaults.conf", "enabled_plugins", "docker-entrypoint.sh");
const ROCKETMQ: &[(&str, &str)] = files!(
    "rocketmq": "Dockerfile", "pom.xml", "jars.stock.sha256", "jars.fastjson2.sha256", "bin/mq", "bin/docker-entrypoint.sh"
);

/// All of them; what a build is on top of comes before it.
pub static RECIPES: [Recipe; 9] = [
    debian(TRIXIE, "trixie", "debian:trixie-slim"),
    debian(BOOKWORM, "bookworm", "debian:bookworm-slim"),
    Recipe {
        tag: JAVA,
        source: Source::Dockerfile {
            base: TRIXIE,
            files: files!("java": "Dockerfile"),
            arguments: &[],
            jars: None,
        },
    },
    Recipe {
        tag: "mqproof/kafka:4.3.1",
        source: Source::Dockerfile {
            base: JAVA,
            files: files!("kafka": "Dockerfile", "pom.xml", "jars.sha256", "log4j2.yaml", "bin/run", "bin/kafka-tool.sh"),
            arguments: &[("VERSION", "4.3.1")],
            jars: Some("stock"),
        },
    },
    rabbitmq("mqproof/rabbitmq:4.3", TRIXIE, &[("BASE", "trixie"), ("SUITE", "sid"), ("VERSION", "4.3.6")]),
    rabbitmq(
        "mqproof/rabbitmq:4.0",
        TRIXIE,
        &[("BASE", "trixie"), ("SUITE", "trixie"), ("VERSION", "4.0.5")],
    ),
    rabbitmq(
        "mqproof/rabbitmq:3.10",
        BOOKWORM,
        &[("BASE", "bookworm"), ("SUITE", "bookworm"), ("VERSION", "3.10.8")],
    ),
    rocketmq("mqproof/rocketmq:5.5.0", "stock", &[("VERSION", "5.5.0"), ("VARIANT", "stock")]),
    rocketmq(
        "mqproof/rocketmq:5.5.0-fastjson2-2.0.61",
        "fastjson2",
        &[("VERSION", "5.5.0"), ("VARIANT", "fastjson2")],
    ),
];

type Arguments = &'static [(&'static str, &'static str)];

const fn debian(tag: &'static str, suite: &'static str, instead: &'static str) -> Recipe {
    Recipe { tag, source: Source::Debian { suite, instead } }
}

const fn rabbitmq(tag: &'static str, base: &'static str, arguments: Arguments) -> Recipe {
    Recipe { tag, source: Source::Dockerfile { base, files: RABBITMQ, arguments, jars: None } }
}

const fn rocketmq(tag: &'static str, profile: &'static str, arguments: Arguments) -> Recipe {
    Recipe { tag, source: Source::Dockerfile { base: JAVA, files: ROCKETMQ, arguments, jars: Some(profile) } }
}

/// The builds with these tags and all that they are on top of, in the order in which they are made.
pub fn with_bases(tags: &[&str]) -> Vec<&'static Recipe> {
    let mut wanted: Vec<&str> = tags.to_vec();
    let mut order: Vec<&Recipe> = Vec::new();
    for recipe in RECIPES.iter().rev() {
        if wanted.contains(&recipe.tag) {
            if let Source::Dockerfile { base, .. } = recipe.source {
                wanted.push(base);
            }
            order.push(recipe);
        }
    }
    order.reverse();
    order
}

#[cfg(test)]
mod tests {
    use super::super::registry::IMAGES;
    use super::*;

    fn text(files: &[(&str, &'static str)], name: &str) -> &'static str {
        files.iter().find(|(file, _)| *file == name).unwrap_or_else(|| panic!("`{name}` is not embedded")).1
    }

    /// What `FROM` names, with the build arguments filled in.
    fn from(dockerfile: &str, arguments: &[(&str, &str)]) -> String {
        let line = dockerfile.lines().find_map(|line| line.strip_prefix("FROM ")).expect("a base");
        arguments
            .iter()
            .fold(line.to_owned(), |line, (name, value)| line.replace(&format!("${{{name}}}"), value))
    }

    #[test]
    fn each_image_of_the_registry_can_be_built_in_the_version_that_it_claims() {
        for image in &IMAGES {
            let recipe = RECIPES.iter().find(|recipe| recipe.tag == image.local);
            let recipe = recipe.unwrap_or_else(|| panic!("no recipe makes `{}`", image.local));
            let Source::Dockerfile { arguments, files, .. } = recipe.source else {
                panic!("`{}` is a bare Debian", image.local);
            };
            assert!(arguments.contains(&("VERSION", image.version)), "{}", image.name);
            assert!(text(files, "Dockerfile").contains("mqproof.version=${VERSION}"), "{}", image.name);
        }
    }

    #[test]
    fn each_build_is_on_top_of_one_that_comes_before_it() {
        for (at, recipe) in RECIPES.iter().enumerate() {
            let Source::Dockerfile { base, files, arguments, .. } = recipe.source else { continue };
            assert_eq!(from(text(files, "Dockerfile"), arguments), base, "{}", recipe.tag);
            assert!(RECIPES[..at].iter().any(|before| before.tag == base), "{}", recipe.tag);
        }
    }

    #[test]
    fn what_a_dockerfile_copies_is_embedded() {
        for recipe in &RECIPES {
            let Source::Dockerfile { files, arguments, jars, .. } = recipe.source else { continue };
            for line in text(files, "Dockerfile").lines().filter_map(|line| line.strip_prefix("COPY ")) {
                let words: Vec<&str> = line.split(' ').filter(|word| !word.starts_with("--")).collect();
                for from in &words[..words.len() - 1] {
                    let from = arguments.iter().fold((*from).to_owned(), |from, (name, value)| {
                        from.replace(&format!("${{{name}}}"), value)
                    });
                    let is_embedded =
                        files.iter().any(|(name, _)| *name == from || name.starts_with(&format!("{from}/")));
                    assert!(is_embedded || (from == "libs" && jars.is_some()), "{from} of {}", recipe.tag);
                }
            }
        }
    }

    #[test]
    fn each_dependency_of_a_pom_has_a_checksum_and_a_dockerfile_checks_them() {
        for recipe in &RECIPES {
            let Source::Dockerfile { files, jars: Some(profile), .. } = recipe.source else { continue };
            let dockerfile = text(files, "Dockerfile");
            assert!(dockerfile.contains("sha256sum --check --strict"), "{}", recipe.tag);
            let list = files
                .iter()
                .find(|(name, _)| *name == "jars.sha256" || *name == format!("jars.{profile}.sha256"))
                .unwrap_or_else(|| panic!("{} has no checksums", recipe.tag));
            let sums: Vec<(&str, &str)> = list.1.lines().filter_map(|line| line.split_once("  ")).collect();
            assert_eq!(sums.len(), list.1.lines().count());
            assert!(sums.iter().all(|(sum, jar)| sum.len() == 64 && !jar.contains('/')), "{}", recipe.tag);
            let pom = text(files, "pom.xml");
            assert!(pom.contains(&format!("<id>{profile}</id>")), "profile of {}", recipe.tag);
            let dependencies = pom.split("<profiles>").next().expect("a head");
            for artifact in between(dependencies, "<artifactId>", "</artifactId>").skip(1) {
                assert!(sums.iter().any(|(_, jar)| jar.starts_with(&format!("{artifact}-"))), "{artifact}");
            }
        }
    }

    fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(open).skip(1).filter_map(move |rest| rest.split(close).next())
    }

    #[test]
    fn the_mended_rocketmq_differs_from_the_released_one_in_one_jar() {
        let names = |name: &str| -> Vec<&str> { text(ROCKETMQ, name).lines().collect() };
        let (stock, mended) = (names("jars.stock.sha256"), names("jars.fastjson2.sha256"));
        let only = |of: &[&'static str], other: &[&str]| -> Vec<&'static str> {
            of.iter()
                .filter(|line| !other.contains(line))
                .filter_map(|line| line.split_once("  "))
                .map(|(_, jar)| jar)
                .collect()
        };
        assert_eq!(only(&stock, &mended), ["fastjson2-2.0.59.jar"]);
        assert_eq!(only(&mended, &stock), ["fastjson2-2.0.61.jar"]);
    }

    #[test]
    fn bases_are_made_first_and_once() {
        let tags =
            |tags: &[&str]| -> Vec<&str> { with_bases(tags).iter().map(|recipe| recipe.tag).collect() };
        assert_eq!(tags(&["mqproof/kafka:4.3.1"]), [TRIXIE, JAVA, "mqproof/kafka:4.3.1"]);
        assert_eq!(tags(&["mqproof/rabbitmq:3.10"]), [BOOKWORM, "mqproof/rabbitmq:3.10"]);
        let all: Vec<&str> = IMAGES.iter().map(|image| image.local).collect();
        assert_eq!(tags(&all).len(), RECIPES.len());
    }
}
