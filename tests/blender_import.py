"""Run by a Python with bpy: imports a BVH or glTF file as a user would, renders it, and says where bones are (JSON)."""

import json
import sys

import bpy  # pyright: ignore[reportMissingImports] - of another Python
import mathutils  # pyright: ignore[reportMissingImports]

source, picture = sys.argv[1:3]
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.fps, scene.render.fps_base = 60, 1.001
if source.endswith(".bvh"):
    bpy.ops.import_anim.bvh(filepath=source, global_scale=0.01, update_scene_fps=True, update_scene_duration=True)
else:
    bpy.ops.import_scene.gltf(filepath=source)
armature = next(thing for thing in scene.objects if thing.type == "ARMATURE")
first, last = (int(frame) for frame in armature.animation_data.action.frame_range)


def places(frame: int) -> dict[str, list[float]]:
    scene.frame_set(frame)
    return {bone.name: list(armature.matrix_world @ bone.head) for bone in armature.pose.bones}


found = {"first": places(first), "last": places(last)}
middle = mathutils.Vector(found["last"]["Hips"])
if source.endswith(".bvh"):  # bones are not rendered: a cone each
    for bone in armature.pose.bones:
        start, end = armature.matrix_world @ bone.head, armature.matrix_world @ bone.tail
        if (end - start).length > 1e-3:
            bpy.ops.mesh.primitive_cone_add(radius1=0.04, depth=(end - start).length, location=(start + end) / 2)
            bpy.context.object.rotation_euler = (end - start).to_track_quat("Z", "Y").to_euler()
bpy.ops.mesh.primitive_plane_add(size=6, location=(middle.x, middle.y, 0))
camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
camera.location = middle + mathutils.Vector((2.6, -3.4, 0.6))
camera.rotation_euler = (middle - camera.location).to_track_quat("-Z", "Y").to_euler()
sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
sun.data.energy, sun.rotation_euler = 4, (0.7, 0.3, 0)
for thing in (camera, sun):
    scene.collection.objects.link(thing)
scene.camera = camera
scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 12, "CPU"
scene.cycles.use_denoising = False
scene.render.resolution_x, scene.render.resolution_y, scene.render.filepath = 480, 480, picture
bpy.ops.render.render(write_still=True)
print(json.dumps(found))
