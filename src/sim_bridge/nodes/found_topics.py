# SPDX-License-Identifier: Apache-2.0
"""Topics that are found in the graph or in a bag: their message classes and qualities."""

from __future__ import annotations

import importlib

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo

from sim_bridge.recording.bag import Offer
from sim_bridge.recording.storage import BagError


def message_class(kind: str) -> type:
    """Return the class of `package/msg/Name`. Raises BagError if it is not installed."""
    try:
        package, _, name = kind.split('/')
        found: type = getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise BagError(f'the message type {kind} is not installed') from error
    return found


def offer_of(publishers: list[TopicEndpointInfo]) -> Offer:
    """Return the quality that all publishers offer, so that a subscription matches all."""
    profiles = [publisher.qos_profile for publisher in publishers]
    return Offer(
        depth=max(1, *(profile.depth for profile in profiles)),
        is_reliable=all(p.reliability is ReliabilityPolicy.RELIABLE for p in profiles),
        is_latched=all(p.durability is DurabilityPolicy.TRANSIENT_LOCAL for p in profiles),
    )


def profile(offer: Offer, depth: int) -> QoSProfile:
    """Return the ROS profile of an offer."""
    return QoSProfile(
        depth=depth,
        reliability=(
            ReliabilityPolicy.RELIABLE if offer.is_reliable else ReliabilityPolicy.BEST_EFFORT
        ),
        durability=(
            DurabilityPolicy.TRANSIENT_LOCAL if offer.is_latched else DurabilityPolicy.VOLATILE
        ),
    )
