"""Believable content for a marketplace, always the same for the same seed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from faker import Faker
from google.type.date_pb2 import Date
from marketplace.v1.address_pb2 import Address
from marketplace.v1.comment_pb2 import Comment
from marketplace.v1.order_pb2 import Order, OrderItem
from marketplace.v1.post_pb2 import Post
from marketplace.v1.product_pb2 import Product
from marketplace.v1.profile_pb2 import Profile
from marketplace.v1.tag_pb2 import Tag
from marketplace.v1.user_pb2 import User

# fmt: off
TAGS = (
    "announcements", "antiques", "baking", "bargains", "bicycles", "board-games", "books", "camping",
    "care-and-repair", "ceramics", "coffee", "collecting", "cooking", "design", "diy", "electronics",
    "fashion", "film", "fitness", "furniture", "gardening", "gifts", "handmade", "home", "how-to", "knitting",
    "music", "new-arrivals", "outdoors", "pets", "photography", "recycling", "reviews", "running",
    "second-hand", "sewing", "tea", "tools", "toys", "travel", "vintage", "woodwork",
)
# fmt: on

CATEGORIES = {
    "Books": ("Atlas", "Cookbook", "Diary", "Notebook", "Novel", "Sketchbook"),
    "Clothing": ("Cap", "Cardigan", "Jacket", "Raincoat", "Scarf", "Shirt"),
    "Garden": ("Hose", "Lantern", "Planter", "Rake", "Trowel", "Watering Can"),
    "Home": ("Blanket", "Clock", "Cushion", "Lamp", "Mirror", "Vase"),
    "Kitchen": ("Bowl", "Coffee Grinder", "Kettle", "Knife", "Mug", "Skillet"),
    "Music": ("Guitar", "Headphones", "Metronome", "Record Player", "Speaker", "Ukulele"),
    "Outdoors": ("Backpack", "Hammock", "Head Torch", "Sleeping Bag", "Tent", "Water Bottle"),
    "Tools": ("Drill", "Hammer", "Ladder", "Screwdriver Set", "Spirit Level", "Workbench"),
}

# The first few can sign in. A password costs the server some 20 ms, by design.
WITH_PASSWORD = 10


@dataclass(frozen=True)
class Person:
    """A user, and what is theirs alone.

    Attributes:
        user: The user.
        profile: Their profile, without its name.
        addresses: Their addresses.
        posts: Their posts, without their author, each with the methods that it then goes through.
        deposit_cents: The cents that they pay into their wallet.
        orders: Their orders, without their customer, likewise.
    """

    user: User
    profile: Profile
    addresses: list[Address]
    posts: list[tuple[Post, tuple[str, ...]]]
    deposit_cents: int
    orders: list[tuple[Order, tuple[str, ...]]]


class Content:
    """The source of all that is made.

    The content of one user does not depend on how many there are: each is drawn from a seed of its own.

    Args:
        seed: The seed.
    """

    def __init__(self, seed: int) -> None:
        self._faker = Faker("en_US")
        self._seed = seed

    def _drawn(self, kind: str, number: int = 0) -> Faker:
        self._faker.seed_instance(f"{self._seed}/{kind}/{number}")
        return self._faker

    def tags(self) -> list[Tag]:
        """Return the tags, each with the name that its id gives it."""
        return [Tag(name=f"tags/{name}", display_name=name.replace("-", " ").capitalize()) for name in TAGS]

    def products(self, count: int) -> list[Product]:
        """Return so many products, of which no two have both name and category in common."""
        fake = self._drawn("products")
        pick = fake.random
        products: dict[tuple[str, str], Product] = {}
        while len(products) < count:
            category = pick.choice(list(CATEGORIES))
            name = f"{fake.last_name()} {pick.choice(CATEGORIES[category])} {pick.randint(100, 999)}"
            cents = round(pick.lognormvariate(8, 1)) // 100 * 100 + pick.choice((49, 90, 95, 99))
            product = Product(
                display_name=name, category=category, price_cents=cents, stock=pick.randint(1_000, 5_000)
            )
            products.setdefault((name, category), product)
        return list(products.values())

    def person(self, number: int, products: Sequence[str]) -> Person:
        """Return one user, and what is theirs.

        Args:
            number: Which one, from 0 on.
            products: The names of what there is to order; where it is empty, there are no orders.
        """
        fake = self._drawn("person", number)
        pick = fake.random
        first, last = fake.first_name(), fake.last_name()
        username = re.sub("[^a-z]", "", f"{first}{last}".lower())[:20] + str(number)
        user = User(
            email=f"{username}@{fake.safe_domain_name()}",
            username=username,
            full_name=f"{first} {last}",
            active=pick.randint(1, 20) > 1,
            password=fake.password(length=14) if number < WITH_PASSWORD else None,
        )
        about = f"{fake.job()} from {fake.city()}. {fake.sentence()}"
        website = f"https://{fake.safe_domain_name()}/~{username}" if pick.choice((True, False)) else ""
        avatar = f"https://{fake.safe_domain_name()}/avatars/{username}.png"
        born = fake.date_between_dates(date(1945, 1, 1), date(2005, 12, 31))
        profile = Profile(
            bio=about,
            website_uri=website,
            avatar_uri=avatar,
            birth_date=Date(year=born.year, month=born.month, day=born.day),
        )
        return Person(
            user=user,
            profile=profile,
            addresses=[_address(fake, label) for label in ("Home", "Work")[: pick.randint(0, 2)]],
            posts=[_post(fake) for _ in range(pick.randint(0, 3))],
            deposit_cents=pick.randint(50, 1_000) * 100,
            orders=[_order(fake, products) for _ in range(pick.randint(0, 2) if products else 0)],
        )

    def comments(self, number: int, posts: Sequence[str]) -> list[tuple[str, Comment]]:
        """Return what a user says, without its author, each with the name of the post that it is on."""
        fake = self._drawn("comments", number)
        count = fake.random.randint(0, 4) if posts else 0
        return [(fake.random.choice(posts), Comment(body=fake.paragraph(nb_sentences=2))) for _ in range(count)]

    def transfers(self, number: int, users: Sequence[str], balance_cents: int) -> list[tuple[str, int]]:
        """Return to which of some users one gives, and how many cents: never more than there are."""
        pick = self._drawn("transfers", number).random
        most = balance_cents // 4
        count = pick.choice((0, 0, 1, 2)) if users and most else 0
        return [(pick.choice(users), pick.randint(1, most)) for _ in range(count)]


def _address(fake: Faker, label: str) -> Address:
    return Address(
        label=label,
        lines=fake.street_address(),
        city=fake.city(),
        region=fake.state_abbr(),
        postal_code=fake.postcode(),
        region_code="US",
    )


def _post(fake: Faker) -> tuple[Post, tuple[str, ...]]:
    steps = fake.random.choices(((), ("PublishPost",), ("PublishPost", "ArchivePost")), (20, 65, 15))[0]
    post = Post(
        title=fake.sentence(nb_words=6).rstrip("."),
        content="\n\n".join(fake.paragraphs(fake.random.randint(1, 4))),
        tags=[f"tags/{name}" for name in sorted(fake.random.sample(TAGS, fake.random.randint(0, 4)))],
    )
    return post, steps


def _order(fake: Faker, products: Sequence[str]) -> tuple[Order, tuple[str, ...]]:
    steps = fake.random.choices(
        ((), ("PayOrder",), ("PayOrder", "ShipOrder"), ("CancelOrder",), ("PayOrder", "CancelOrder")),
        (20, 25, 40, 10, 5),
    )[0]
    chosen = fake.random.sample(products, min(len(products), fake.random.randint(1, 3)))
    return Order(items=[OrderItem(product=name, quantity=fake.random.randint(1, 3)) for name in chosen]), steps
